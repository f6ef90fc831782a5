"""Verifies the code of components by their golden values: python -m tests.golden.update [all | components].

Without arguments, the components with files that are not verified are run. Equal values verify the files, and new cases
are stored. Other values are refused until VERSIONS in llmrec/versions.py has a higher number, under which they are
stored.
"""

import logging
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from llmrec.code_hash import PACKAGE, file_digest
from llmrec.components import COMPONENTS, component_files, file_name
from llmrec.training.quiet import silence_libraries
from llmrec.versions import VERIFIED, VERSIONS
from tests.golden.stored import differences, read_stored, stored_file, write_stored
from tests.golden.values import Golden

NO_VALUES = {
    "backbones.gguf": "needs a package with a GGUF file",
}
"""Components without golden values, with the reason. They are verified by hand: by naming them."""
SHOWN_DIFFERENCES = 5


def main(words: Sequence[str]) -> int:
    """Runs components, prints what differs, and stores digests of verified files.

    Args:
        words: Names of components; "all" for all, none for those with files that are not verified.

    Returns:
        The exit status: 1 if values of a component moved without a higher version.
    """
    # Runs log what is of no interest here.
    silence_libraries()
    logging.disable(logging.WARNING)
    chosen = _chosen(words)
    with tempfile.TemporaryDirectory() as folder:
        golden = Golden(Path(folder))
        refused = [name for name in chosen if not _verify(golden, name)]
    _write_verified(set(chosen) - set(refused))
    for name in refused:
        print(f"refused: {name} moved. Undo the change, or raise its number ({VERSIONS[name]}) in versions.py")
    return 1 if refused else 0


def _chosen(words: Sequence[str]) -> list[str]:
    names = [name for name in COMPONENTS if name not in NO_VALUES]
    if list(words) == ["all"]:
        return names
    unknown = [word for word in words if word not in COMPONENTS]
    if unknown:
        raise SystemExit(f"no component {', '.join(unknown)}. Components: {', '.join(COMPONENTS)}")
    return list(words) or list(filter(_is_unverified, names))


def _is_unverified(component: str) -> bool:
    changed = any(VERIFIED.get(file_name(file)) != file_digest(file) for file in component_files(component))
    return changed or not stored_file(component).exists()


@contextmanager
def _silenced() -> Iterator[None]:
    """Discards what this process and the ranks that it starts print."""
    copies = {number: os.dup(number) for number in (1, 2)}
    with open(os.devnull, "w") as nothing:
        for number in copies:
            os.dup2(nothing.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            for number, copy in copies.items():
                os.dup2(copy, number)
                os.close(copy)


def _verify(golden: Golden, component: str) -> bool:
    if component in NO_VALUES:
        print(f"{component}: {NO_VALUES[component]}, taken as verified")
        return True
    started = time.perf_counter()
    with _silenced():
        found = golden.values(component)
    stored = read_stored(component) or {}
    known = {case: values for case, values in found.items() if case in stored}
    differing = differences(stored, known)
    if not differing and len(found) > len(stored):
        write_stored(component, stored | found)
    counts = f"{len(found)} cases ({len(found) - len(known)} new), {len(differing)} values differ"
    print(f"{component} {VERSIONS[component]}: {counts}, {time.perf_counter() - started:.1f} s", flush=True)
    for difference in differing[:SHOWN_DIFFERENCES]:
        print(f"  {difference}", flush=True)
    return not differing


def _write_verified(components: Collection[str]) -> None:
    """Stores the digests of the files all of whose components are verified or have not changed."""
    files = {file for name in COMPONENTS for file in component_files(name)}
    verified = {}
    for file in sorted(files):
        name, digest = file_name(file), file_digest(file)
        owners = {component for component in COMPONENTS if file in component_files(component)}
        if (owners - NO_VALUES.keys() or owners) <= set(components) or VERIFIED.get(name) == digest:
            verified[name] = digest
        elif name in VERIFIED:
            verified[name] = VERIFIED[name]
    versions = PACKAGE / "versions.py"
    before, _, after = versions.read_text(encoding="utf-8").partition("VERIFIED: dict[str, str] = {")
    note = after[after.index("}\n") + 2 :]
    entries = "".join(f'    "{name}": "{digest}",\n' for name, digest in verified.items())
    body = f"\n{entries}" if entries else ""
    versions.write_text(f"{before}VERIFIED: dict[str, str] = {{{body}}}\n{note}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
