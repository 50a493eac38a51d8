"""Verification pairs, template protocols, and the lists of MegaFace."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.containers.safe_pickle import loads
from facekd.data.discovery import find_evaluation_sets
from facekd.data.ijb.opening import open_ijb
from facekd.data.megaface.noise_lists import read_noise_lists
from facekd.data.megaface.template_lists import distractor_list_path, read_distractor_list, read_probe_list
from facekd.data.opening import open_pairs
from facekd.data.pairs.groups import group_by_column, group_by_file
from facekd.data.pairs.pair_set import identities_from_folders
from facekd.data.pairs.rfw_bfw import is_bfw, read_bfw, read_rfw
from tests.fuzz.parser import Files, Parser
from tests.fuzz.parsers.pictures import picture

_IMAGES = {f"images/{name}/{name}_{number:04d}.jpg": b"x" for name in ("anna", "bea", "cleo") for number in (1, 2)}
_LFW = "2\t1\nanna\t1\t2\nanna\t1\tbea\t2\nbea\t1\t2\ncleo\t1\tbea\t2\n"
_CSV = ("fold,path1,path2,same\n1,anna/anna_0001.jpg,anna/anna_0002.jpg,1\n1,anna/anna_0001.jpg,bea/bea_0001.jpg,0\n"
        "2,bea/bea_0001.jpg,bea/bea_0002.jpg,1\n2,\"cleo/cleo_0001.jpg\",bea/bea_0002.jpg,0\n")


def _lfw_seeds(folder: Path) -> Sequence[Files]:
    return [{**_IMAGES, "pairs.txt": _LFW.encode()}, {**_IMAGES, "pairs.txt": b"1\nanna 1 2\nanna 1 bea 1\n"}]


def _csv_seeds(folder: Path) -> Sequence[Files]:
    return [{**_IMAGES, "pairs.csv": _CSV.encode()},
            {**_IMAGES,
             "pairs.csv": b"\xef\xbb\xbfsame,path2,path1,fold\r\n0,bea/bea_0001.jpg,anna/anna_0001.jpg,3\r\n"}]


def _bin_seeds(folder: Path) -> Sequence[Files]:
    images = [picture(number) for number in range(8)]
    arrays = [np.frombuffer(image, np.uint8) for image in images]
    same = [True, False] * 2
    contents: list[tuple[Any, int]] = [((images, same), protocol) for protocol in (2, 3, 4)]
    contents += [((arrays, same), 2), ((images, np.array(same)), 2), ([images, [1, 0, 1, 0]], 0)]
    return [{"pairs.bin": pickle.dumps(content, protocol)} for content, protocol in contents]


def _any_seeds(folder: Path) -> Sequence[Files]:
    lists = (*_lfw_seeds(folder), *_csv_seeds(folder), *_bin_seeds(folder)[:2])
    return [{"pairs" if name.startswith("pairs") else name: content for name,
             content in files.items()} for files in lists]


def _read_pairs(name: str, folder: Path) -> None:
    pairs = open_pairs(folder / name, folder / "images")
    identities_from_folders(pairs)
    for index in range(min(3, len(pairs.images))):
        pairs.read(index)
        pairs.location(index)


def _group_seeds(folder: Path) -> Sequence[Files]:
    column = _CSV.replace("same\n", "same,group\n").replace(",1\n", ",1,a\n").replace(",0\n", ",0,a\n")
    groups = b"identity,group\nanna,a\nbea,b\n"
    bfw = (b"fold,p1,p2,label,id1,id2,att1,att2\n1,anna/anna_0001.jpg,anna/anna_0002.jpg,1.0,0,0,a,a\n"
           b"1,anna/anna_0001.jpg,bea/bea_0001.jpg,0.0,0,1,a,b\n")
    rfw = {f"data/Asian/{name}/{name}_000{number}.jpg": b"x" for name in ("m.a", "m.b") for number in (1, 2)}
    return [{**_IMAGES, "pairs.csv": column.encode(), "groups.csv": groups, "table.csv": bfw, **rfw,
             "txts/Asian/Asian_pairs.txt": b"m.a\t1\t2\nm.a\t1\tm.b\t2\n"}]


def _read_groups(folder: Path) -> None:
    images = folder / "images"
    if is_bfw(folder / "table.csv"):
        read_bfw(folder / "table.csv", images)
    read_rfw(folder)
    pairs = open_pairs(folder / "pairs.csv", images)
    group_by_file(pairs, images, folder / "groups.csv")
    group_by_column(pairs, images)


def _pickle_seeds(folder: Path) -> Sequence[Files]:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    values: tuple[Any, ...] = (
        {"a": [1, 2.5, None, True, b"x"], "b": ("text", -5)}, [array, array.astype("<f4"), np.float64(2)],
        [b"\x89PNG" * 20] * 3, np.zeros((2, 3), "S4"), {1: {2: {3: [[[]]]}}}, [array] * 5,
    )
    return [{"value.pkl": pickle.dumps(value, protocol)} for value in values for protocol in (0, 2, 3, 4)]


def _read_pickle(folder: Path) -> None:
    file = folder / "value.pkl"
    loads(file.read_bytes() if file.exists() else b"", str(file))


def _insightface_seeds(folder: Path) -> Sequence[Files]:
    names = [f"{number}.jpg" for number in range(12)]
    points = " 10.5" * 10
    meta = {
        "ijbc_face_tid_mid.txt": "".join(f"{name} {number // 2 + 1} {number}\n" for number, name in enumerate(names)),
        "ijbc_name_5pts_score.txt": "".join(f"{name}{points} 0.9\n" for name in names),
        "ijbc_template_pair_label.txt": "1 2 1\n3 4 0\n5 6 1\n1 6 0\n",
    }
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID\n"
    identification = {
        "ijbc_1N_gallery_G1.csv": f"{header}1,7,img/1.jpg,5\n3,8,img/2.jpg,6\n",
        "ijbc_1N_gallery_G2.csv": f"{header}5,9,img/3.jpg,7\n",
        "ijbc_1N_probe_mixed.csv": f"{header}2,7,img/4.jpg,8\n4,8,x,9\n",
    }
    return [{name: text.encode() for name, text in files.items()} for files in (meta, meta | identification)]


def _nist_seeds(folder: Path) -> Sequence[Files]:
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X\n"
    full = {"ijbc_1N_gallery_G1.csv": f"{header}1,7,img/1.jpg,5,3\n1,7,img/11.jpg,5,3\n3,8,img/2.jpg,6,1\n",
            "ijbc_1N_gallery_G2.csv": f"{header}5,9,img/3.jpg,7,2\n",
            "ijbc_1N_probe_mixed.csv": f"{header}2,7,img/4.jpg,8,2\n4,8,\"frames/x,1.jpg\",,9\n",
            "ijbc_11_G1_G2_matches.csv": "1,5\n3,5\n1,2\n"}
    later = {"enroll_templates.csv": "TEMPLATE_ID,SUBJECT_ID,FILENAME\n1,7,a.jpg\n2,8,b.jpg\n",
             "verif_templates.csv": "TEMPLATE_ID,SUBJECT_ID,FILENAME\n3,7,c.jpg\n", "match.csv": "1,3\n2,3\n"}
    return [{name: text.encode() for name, text in files.items()} for files in (full, later)]


def _kit_seeds(folder: Path) -> Sequence[Files]:
    probes = b'{"path": ["anna/1.jpg", "anna/2.jpg", "bea/1.jpg", "bea/2.jpg"], "id": ["anna", "anna", "bea", 7]}'
    distractors = b'{"path": ["1/2@N00/a.jpg", "1/2@N00/b.jpg", "3/4@N00/c.jpg"]}'
    return [{"facescrub_features_list.json": probes, "megaface_features_list.json_3_1": distractors}]


def _read_kit(folder: Path) -> None:
    read_probe_list(folder / "facescrub_features_list.json")
    read_distractor_list(distractor_list_path(folder, 3))


def _noise_seeds(folder: Path) -> Sequence[Files]:
    return [{"facescrub_noises.txt": b"# a list\nanna_1.png\n2\tbea_2.png\n",
             "megaface_noises.txt": b"1/2@N00/a.jpg\n\n5\t3/4@N00/b.jpg\tx\n"}]


def _read_noise(folder: Path) -> None:
    lists = read_noise_lists(folder)
    lists.probes.match(["x/anna_1.png", "y"])
    lists.distractors.count_lines_naming(["1/2@N00/a.jpg", "z"])


def _discovery_seeds(folder: Path) -> Sequence[Files]:
    return [{"lfw.bin": b"\x80\x02N.", "agedb/pairs.csv": _CSV.encode(), "agedb/a/1.jpg": b"x", "other.bin": b"MZ",
             "ijbc/meta/ijbc_face_tid_mid.txt": b"1.jpg 1 1\n", "templatelists/x": b"", "facescrub_images/a/b": b"",
             "megaface_images/a": b"", "noise/facescrub_noises.txt": b"a\n", "noise/megaface_noises.txt": b"1/2/a\n"}]


def _read_discovery(folder: Path) -> None:
    sets, _ = find_evaluation_sets(folder)
    for one_set in sets:
        one_set.stat_digest()


PARSERS = [
    Parser("pairs_lfw", ["data/pairs/text_lists.py", "data/pairs/pair_set.py"], _lfw_seeds,
           lambda folder: _read_pairs("pairs.txt", folder), {"pairs.txt": "text"}),
    Parser("pairs_csv", ["data/pairs/text_lists.py", "io/reading.py"], _csv_seeds,
           lambda folder: _read_pairs("pairs.csv", folder), {"pairs.csv": "text"}),
    Parser("pairs_groups", ["data/pairs/groups.py", "data/pairs/rfw_bfw.py"], _group_seeds, _read_groups,
           {"*.csv": "text", "*_pairs.txt": "text"}),
    Parser("pairs_bin", ["data/pairs/insightface_bin.py"], _bin_seeds, lambda folder: _read_pairs("pairs.bin", folder),
           {"pairs.bin": "pickle"}),
    Parser("open_pairs", ["data/opening.py", "data/pairs/pair_set.py"], _any_seeds,
           lambda folder: _read_pairs("pairs", folder), {"pairs": "text"}),
    Parser("pickle_loads", ["data/containers/safe_pickle.py"], _pickle_seeds, _read_pickle, {"value.pkl": "pickle"}),
    Parser("ijb_insightface", ["data/ijb/insightface.py", "data/ijb/parsing.py"], _insightface_seeds, open_ijb,
           {"*": "text"}),
    Parser("ijb_nist", ["data/ijb/nist.py", "data/ijb/parsing.py"], _nist_seeds, open_ijb, {"*": "text"}),
    Parser("kit_lists", ["data/megaface/template_lists.py"], _kit_seeds, _read_kit, {"*": "json"}),
    Parser("noise_lists", ["data/megaface/noise_lists.py"], _noise_seeds, _read_noise, {"*": "text"}),
    Parser("discovery", ["data/discovery.py"], _discovery_seeds, _read_discovery, {"*.bin": "binary", "*.csv": "text"}),
]
