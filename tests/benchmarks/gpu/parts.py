"""A file in parts that are small enough to come back from a card, and the file again, checked.

python tests/benchmarks/gpu/parts.py split FILE FOLDER
python tests/benchmarks/gpu/parts.py join FOLDER/NAME.parts.json FILE
"""

import hashlib
import json
import sys
from pathlib import Path

LARGEST = 15 * 2**20  # bytes; the limit is 16 MiB


def split(file: Path, folder: Path, size: int = LARGEST) -> list[Path]:
    """Write the parts of a file, and a list of them with their hashes; returns all of these files."""
    whole, written, parts = hashlib.sha256(), [], []
    with file.open("rb") as source:
        while block := source.read(size):
            part = folder / f"{file.name}.{len(parts):03d}"
            part.write_bytes(block)
            whole.update(block)
            parts.append({"name": part.name, "bytes": len(block), "sha256": hashlib.sha256(block).hexdigest()})
            written.append(part)
    listed = folder / f"{file.name}.parts.json"
    listed.write_text(json.dumps({"name": file.name, "sha256": whole.hexdigest(), "parts": parts}, indent=1) + "\n")
    return [*written, listed]


def join(listed: Path, file: Path) -> Path:
    """Write the file whose parts lie beside their list.

    Raises:
        ValueError: a part, or the whole, is not what was split.
        FileNotFoundError: a part is not there.
    """
    told = json.loads(listed.read_text())
    whole, partial = hashlib.sha256(), file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as output:
            for part in told["parts"]:
                block = (listed.parent / part["name"]).read_bytes()
                if hashlib.sha256(block).hexdigest() != part["sha256"]:
                    raise ValueError(
                        f"{part['name']}: not the part that was split ({len(block)} of {part['bytes']} bytes)"
                    )
                whole.update(block)
                output.write(block)
        if whole.hexdigest() != told["sha256"]:
            raise ValueError(f"{listed.name}: its parts are not {told['name']} in this order")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


if __name__ == "__main__":
    _, verb, source, target = sys.argv
    done = split(Path(source), Path(target)) if verb == "split" else [join(Path(source), Path(target))]
    print("\n".join(map(str, done)))
