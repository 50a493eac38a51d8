from __future__ import annotations

import re
from pathlib import Path

from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.preflight.job import open_job
from facekd.preflight.memory import memory_use, optimizer_states
from tests.preflight.sizes import bytes_of


def test_memory_counts_weights_gradients_states_centers_and_crops(recipe: Path) -> None:
    job = open_job(recipe, ["head.sub_centers=3", "training.ema_decay=0.9"], 1)
    uses = memory_use(job)
    network = job.build_network()
    trained = 4 * sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    assert bytes_of(uses, "iresnet10: gradients") == bytes_of(uses, "iresnet10: state of sgd") == trained
    assert bytes_of(uses, "head: centers") == bytes_of(uses, "head: gradients") == 4 * 8 * 3 * 16
    assert bytes_of(uses, "iresnet10: weights") == bytes_of(uses, "EMA of its weights") > trained
    assert bytes_of(uses, "decoded crops") == 48 * 32 * 32 * 3


def test_adamw_keeps_two_numbers_a_weight(recipe: Path) -> None:
    sgd, adamw = (memory_use(open_job(recipe, [f"training.optimizer={name}"], 1)) for name in ("sgd", "adamw"))
    assert bytes_of(adamw, "state of") == 2 * bytes_of(sgd, "state of")


def test_sgd_without_momentum_keeps_none(recipe: Path) -> None:
    job = open_job(recipe, ["training.momentum=0"], 1)
    assert optimizer_states(job) == 0
    assert bytes_of(memory_use(job), "state of") == 0


def test_processes_share_images_and_classes(recipe: Path) -> None:
    job = open_job(recipe, ["training.batch_size=16"], 4)
    uses = memory_use(job)
    assert job.images_per_process == 4 and bytes_of(uses, "head: centers") == 4 * 2 * 16
    assert any("16 embeddings against 2 classes" in use.name for use in uses)
    assert bytes_of(uses, "iresnet10: gradients") == 2 * bytes_of(uses, "iresnet10: state of sgd")


def test_a_sampled_head_computes_fewer_logits(recipe: Path) -> None:
    uses = memory_use(open_job(recipe, ["head.sample_rate=0.25", "training.batch_size=4"], 1))
    assert any("4 embeddings against 6 classes" in use.name for use in uses)  # a quarter of 8, and 4 positives


def test_images_that_do_not_fit_the_cache_take_no_memory(recipe: Path) -> None:
    for override in ("machine.decoded_cache_gib=0.0001", "data.augmentation.kind=resized-crop"):
        assert bytes_of(memory_use(open_job(recipe, [override], 1)), "decoded crops") == 0


def test_a_live_teacher_is_counted(student_recipe: Path) -> None:
    cached, live = (open_job(student_recipe, [f"teacher_cache={kind}"], 1) for kind in ("float16", "off"))
    assert bytes_of(memory_use(cached), "teacher") == 0 < bytes_of(memory_use(live), "teacher")
    assert bytes_of(memory_use(live), "head") == 0  # l2 alone uses no labels


def test_a_graph_can_be_estimated(student_recipe: Path, tmp_path: Path) -> None:
    text = student_recipe.read_text(encoding="utf-8")
    head, _, rest = text.partition("student:")
    other_sections = rest[re.search(r"\n\S", rest).start() :]  # type: ignore[union-attr]
    save_model(create("graph", size=32, outputs=16), tmp_path / "graph.safetensors")
    student_recipe.write_text(f"{head}student: {{weights: {tmp_path / 'graph.safetensors'}}}{other_sections}",
                              encoding="utf-8")
    names = [use.name for use in memory_use(open_job(student_recipe, [], 1))]
    assert "graph: weights" in names and any(name.startswith("graph: activations") for name in names)
