from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from facekd.api.compress.choice import Budget
from facekd.api.compress.job import Job


def test_all_files_of_a_job_lie_in_its_folder() -> None:
    unused = cast(Any, None)
    job = Job(unused, Path("t.onnx"), Path("out"), unused, Budget(), None, None, None, "cpu", 0)
    files = [job.train_faces, job.held_out_faces, job.plan, job.student, job.student_package, job.teacher_package,
             job.results, job.report]
    assert all(file.is_relative_to("out") for file in files) and len(set(files)) == len(files)
