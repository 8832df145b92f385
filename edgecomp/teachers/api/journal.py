"""Every answer, written and on the disk before another request is asked, so that nothing is asked again that was answered."""

import json
import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgecomp.errors import DataError
from edgecomp.teachers.api.asked import Answer

FORMAT = 1


class Journal:
    """A line of JSON an answer in the file at `path`. A last line that was cut by a kill is dropped; another that is none is told."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self.answers: dict[str, Answer] = {}
        self.tries = 0
        whole = self._read(path) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(whole)

    def _read(self, path: Path) -> int:
        """Reads what is there; returns how many bytes of it are whole lines."""
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                told: Mapping[str, Any] = json.loads(line)
                self.tries += int(told["tries"])
                if told["id"]:
                    self.answers[told["id"]] = Answer(**told["answer"])
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}, line {number}: no answer of a teacher ({error}): delete the file, and it is asked again"
                ) from None
        return whole

    def take(self, file: Path | None, ids: Iterable[str]) -> int:
        """Takes over the answers to requests of these `ids` that are in the journal `file` of other data, which were paid for, and returns how many.
        file: None where there is none. They count in no budget again."""
        if file is None or not file.is_file() or file.samefile(self._file.name):
            return 0
        wanted = set(ids) - set(self.answers)
        before: dict[str, Answer] = {}
        for line in file.read_bytes().splitlines():
            try:
                told = json.loads(line)
                if told["id"] in wanted:
                    before[told["id"]] = replace(Answer(**told["answer"]), tokens_in=0, tokens_out=0)
            except (ValueError, KeyError, TypeError):
                continue  # what cannot be read is asked again
        for request_id, answer in before.items():
            self.write(request_id, answer, 0)
        return len(before)

    def copy_to(self, folder: Path) -> None:
        """Puts what was answered beside what was made of it, in `folder`, for data that have these requests too."""
        target = folder / Path(self._file.name).name
        if not (target.exists() and target.samefile(self._file.name)):
            shutil.copyfile(self._file.name, target)

    def write(self, request_id: str, answer: Answer, tries: int) -> None:
        """Returns when the `answer` to request_id, which took so many `tries`, is on the disk."""
        line = json.dumps(
            {"format": FORMAT, "id": request_id, "tries": tries, "answer": asdict(answer)}, allow_nan=False
        )
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.answers[request_id] = answer
            self.tries += tries

    def spent(self, tries: int) -> None:
        """Keeps that there were so many `tries` of requests that were not answered: they count in the budget of the next sitting."""
        with self._lock:
            self._file.write(json.dumps({"format": FORMAT, "id": "", "tries": tries}).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()
