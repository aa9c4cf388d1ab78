"""Run an emulator on this pack: `python reader.py MODULE:FUNCTION`. See README.md there for the function."""

import hashlib
import importlib
import json
import sys
from pathlib import Path


def check(emulate, folder: Path) -> tuple[int, int]:  # type: ignore[no-untyped-def]  # any callable
    """(vectors compared, mismatches) of `emulate(file, inputs) -> outputs`, both lists of unsigned integers."""
    same: list[bool] = []
    for file in json.loads((folder / "manifest.json").read_text())["files"]:
        data = (folder / file["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"], f"{file['name']} is not as it was written"
        for line in data.decode().splitlines()[1:]:
            fields = [int(field, 16) for field in line.split("_")]
            inputs, want = fields[: len(file["inputs"])], fields[len(file["inputs"]) :]
            got = list(emulate(file, inputs))
            nan = [[any(low <= x <= high for low, high in file["nan"]) for x in part] for part in (got, want)]
            same.append(all(x == y or (p and q) for x, y, p, q in zip(got, want, *nan, strict=True)))
    return len(same), same.count(False)


if __name__ == "__main__":
    sys.path.insert(0, "")
    module, function = sys.argv[1].split(":")
    compared, mismatches = check(getattr(importlib.import_module(module), function), Path(__file__).parent)
    print(f"{compared} compared, {mismatches} mismatches")
    sys.exit(mismatches > 0 or compared == 0)
