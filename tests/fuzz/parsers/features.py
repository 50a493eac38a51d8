"""Features, counts and caches: arrays of embeddings, and what belongs to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from facekd.api.evaluate.compare_models import compare_models
from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import open_features, write_features
from facekd.data.features.provenance import read_identity, read_provenance, write_provenance
from facekd.data.megaface.feature_bin import write_bin_feature
from facekd.evaluation.cross_model.feature_map import FeatureMap, MapFacts, MappedModel, Method, read_map, write_map
from facekd.evaluation.embedding.growing_array import GrowingArray
from facekd.evaluation.identification.partial_counts import PartialCounts, load_checkpoint
from facekd.evaluation.identification.per_identity import PerIdentityCounts, write_identity_counts
from facekd.io import files
from facekd.route.cache import read_slot
from tests.fuzz.parser import Files, Parser, collect

IDENTITY: dict[str, Any] = {"model": "ab" * 32, "size": 112, "flip": True, "dtype": "float32", "unit_length": False,
                            "images": "cd" * 32, "rows": 5, "dimension": 4}


def rows(count: int = 5, dimension: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return float32 [count, dimension] of noise."""
    return np.random.default_rng(count).normal(size=(count, dimension)).astype(np.float32)


def use(features: FeatureSet) -> None:
    """Touch what a feature set promises."""
    assert features.l2_normalized_rows(0, min(3, len(features))).shape[1] == features.dimension
    features.location(0)
    assert features.labels is None or len(features.labels) == len(features)
    assert features.image_names is None or len(features.image_names) == len(features)
    features.all_l2_normalized_rows()


def _npy_seeds(folder: Path) -> Sequence[Files]:
    names = [f"anna/{number}.jpg" for number in range(5)]
    write_features(folder / "a.npy", rows(), np.array([0, 0, 1, 1, 2]), names)
    write_provenance(folder / "a.npy", IDENTITY, "model", {"versions": {"torch": "2"}})
    first = collect(folder)
    half = {"a.npy": files_of(rows().astype(np.float16)), "a.labels.npy": files_of(np.arange(5, dtype=np.uint8))}
    return [first, {**first, **half}, {"a.npy": files_of((rows() * 30).astype(np.int8))}]


def files_of(array: np.ndarray[Any, Any]) -> bytes:
    """Return an array as ``.npy``."""
    output = io.BytesIO()
    np.save(output, array)
    return output.getvalue()


def _read_npy(folder: Path) -> None:
    read_identity(folder / "a.npy")
    read_provenance(folder / "a.npy")
    use(open_features(folder / "a.npy"))


def _safetensors_seeds(folder: Path) -> Sequence[Files]:
    features = torch.from_numpy(rows())
    labels = torch.tensor([0, 0, 1, 1, 2])
    return [{"a.safetensors": save({"features": features, "labels": labels})},
            {"a.safetensors": save({"x": features.bfloat16()})},
            {"a.safetensors": save({"features": features.half(), "labels": labels.int()}, {"made": "by a program"})}]


def _map_seeds(folder: Path) -> Sequence[Files]:
    models = {role: MappedModel(name=role, sha256="ab" * 32, dimension=4, size=112) for role in ("old", "new")}
    seeds = []
    methods: list[tuple[Method, float | None]] = [("ridge", 0.1), ("procrustes", None)]
    for method, regularization in methods:
        facts = MapFacts(old=models["old"], new=models["new"], method=method, regularization=regularization, flip=True,
                         images=80, held_out_images=20, held_out_cosine=0.9)
        write_map(folder / "m.safetensors", FeatureMap(rows(4), rows(1)[0], facts))
        seeds.append(collect(folder))
    return seeds


def _tree_seeds(folder: Path) -> Sequence[Files]:
    for number, row in enumerate(rows(4)):
        write_bin_feature(folder / f"anna/{number}.jpg_facekd.bin", row)
    return [collect(folder)]


def _read_tree(folder: Path) -> None:
    use(open_features(folder))


def _growing_seeds(folder: Path) -> Sequence[Files]:
    with GrowingArray(folder / "e.npy", IDENTITY) as array:
        array.append(rows(3))
    return [collect(folder)]


def _read_growing(folder: Path) -> None:
    copies = folder / "copy"
    copies.mkdir()
    for name, content in collect(folder).items():
        (copies / name).write_bytes(content)
    with GrowingArray(copies / "e.npy", IDENTITY) as array:
        array.append(rows(5)[array.rows_written :])


def _counts(folder: Path) -> Files:
    counts = PerIdentityCounts(
        labels=np.array([0, 1]), sizes=np.array([2, 3]), hits=np.ones((2, 100), np.int64),
        genuine_accepts=np.array([[1, 1, 0], [3, 2, 0]]), false_accepts=np.array([[9, 4, 0], [8, 3, 0]]),
        distractors=40)
    write_identity_counts(folder / "r.npz", counts)
    result = {"kind": "megaface", "rank1": 0.9, "tar": {"1e-3": 0.5, "1e-6": None}, "distractors": 40}
    files.write_json(folder / "r.json", result)
    return {f"{name}.{ending}": (folder / f"r.{ending}").read_bytes()
            for name in ("a", "b") for ending in ("json", "npz")}


def _empty_counts() -> PartialCounts:
    counter: Any = SimpleNamespace(num_insertion_bins=5, num_deep_mates=2, score_error=1e-6)
    return PartialCounts(counter, num_blocks=2, block_size=8, capacity=10)


def _partial_seeds(folder: Path) -> Sequence[Files]:
    arrays: dict[str, Any] = {
        "counted_blocks": np.array([True, False]), "insertion_counts": np.arange(5), "deep_counts": np.arange(2),
        "impostor_scores": np.ones(3, np.float32), "impostor_probes": np.arange(3, dtype=np.int32),
        "impostor_distractors": np.arange(3, dtype=np.int32),
    }
    seeds = []
    for write in (np.savez, np.savez_compressed):
        write(folder / "p.npz", comparison=np.array("key"), **arrays)
        seeds.append({".r.json.partial.0": (folder / "p.npz").read_bytes()})
    return seeds


def _cache_seeds(folder: Path) -> Sequence[Files]:
    return [{"slot.npy": files_of(rows().astype(np.float16))}, {"slot.npy": files_of(rows())}]


def _read_cache(folder: Path) -> None:
    slot = read_slot(folder / "slot.npy")
    np.asarray(slot[:2])


def _read_partial(folder: Path) -> None:
    counts = _empty_counts()
    arrays = load_checkpoint(folder / ".r.json.partial.0", "key", counts)
    if arrays is not None:
        counts.merge(arrays)
        counts.arrays()


PARSERS = [
    Parser("features_npy", ["data/features/opening.py", "data/features/provenance.py", "io/arrays.py"],
           _npy_seeds, _read_npy, {"*.npy": "npy", "*.txt": "text", "*.json": "json"}),
    Parser("features_st", ["data/features/safetensors.py"], _safetensors_seeds,
           lambda folder: use(open_features(folder / "a.safetensors")), {"*.safetensors": "safetensors"}),
    Parser("feature_map", ["evaluation/cross_model/feature_map.py"], _map_seeds,
           lambda folder: read_map(folder / "m.safetensors").convert(rows()), {"*.safetensors": "safetensors"}),
    Parser("kit_bin", ["data/megaface/feature_bin.py", "data/megaface/feature_tree.py"], _tree_seeds, _read_tree,
           {"*.bin": "binary"}),
    Parser("embed_partial", ["evaluation/embedding/growing_array.py"], _growing_seeds, _read_growing,
           {"*.partial": "npy", "*.json": "json"}, scratch=["copy"]),
    Parser("compare_results", ["evaluation/identification/per_identity.py", "api/evaluate/compare_models.py"],
           lambda folder: [_counts(folder)], lambda folder: compare_models(folder / "a.json", folder / "b.json"),
           {"*.npz": "zip", "*.json": "json"}),
    Parser("partial_counts", ["evaluation/identification/partial_counts.py"], _partial_seeds, _read_partial,
           {".*": "zip"}),
    Parser("cache_slot", ["route/cache.py"], _cache_seeds, _read_cache, {"slot.npy": "npy"}),
]
