"""Check recorded cases: `python tests/parity/run.py [--through-import] DIR [PREFIX ...]`.

Prints `PASS|FAIL|SKIP name max_error` for each case and last `N passed, M failed, K skipped`.
Exit status: 0, or 1 if any case failed. A case is chosen by the start of its name, and where that
says nothing, by what its `case.json` says it pins. With `--through-import` the weights of models go
in as files, through what `weights import` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.parity import (
    cases_answers,
    cases_boxes,
    cases_captioning,
    cases_localization,
    cases_models,
    cases_multimodal,
    cases_recognition,
    cases_tasks,
    cases_text,
    cases_training,
    cases_video,
)
from tests.parity.case import Case, Mismatch

CHECKS: dict[str, Callable[[Case], None]] = {
    **cases_video.CHECKS,
    **cases_models.CHECKS,
    **cases_multimodal.CHECKS,
    **cases_captioning.CHECKS,
    **cases_training.CHECKS,
    **cases_tasks.CHECKS,
    **cases_recognition.CHECKS,
    **cases_text.CHECKS,
    **cases_answers.CHECKS,
    **cases_boxes.CHECKS,
    **cases_localization.CHECKS,
}


def check_for(case: Case) -> Callable[[Case], None] | None:
    """Find the check of a case: the longest known start of its name, else one named inside it."""
    known = sorted(CHECKS, key=len, reverse=True)
    for start in known:
        if case.name.startswith(start):
            return CHECKS[start]
    for start in known:
        if start in case.name:
            return CHECKS[start]
    return None


def run_case(folder: Path, *, through_import: bool = False) -> tuple[str, str]:
    """Return the verdict on one case and what to say about it."""
    case = Case(folder, through_import=through_import)
    check = check_for(case)
    if check is None:
        return "SKIP", f"{case.name} no check for this kind yet"
    try:
        check(case)
    except Mismatch as error:
        return "FAIL", f"{case.name} {error}"
    except Exception as error:  # a check that breaks is a failed check, and the rest must still run
        return "FAIL", f"{case.name} {type(error).__name__}: {error}"
    if not case.num_compared:
        return "FAIL", f"{case.name} nothing was compared"
    if ignored := case.ignored():
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        return "FAIL", f"{case.name} not looked at: {', '.join(ignored[:5])}{more}"
    imported = " (imported)" if case.num_imported else ""
    return "PASS", f"{case.name} {case.max_error:.3g}{imported}"


def main(arguments: list[str]) -> int:
    through_import = "--through-import" in arguments
    arguments = [argument for argument in arguments if argument != "--through-import"]
    if not arguments:
        print(__doc__)
        return 2
    directory, prefixes = Path(arguments[0]), tuple(arguments[1:])
    folders = sorted(path.parent for path in directory.glob("*/case.json"))
    folders = [f for f in folders if not prefixes or f.name.startswith(prefixes)]
    if not folders:
        print(f"{directory}: no case folder starting with any of {prefixes or ('',)}")
        return 2
    torch.set_num_threads(1)
    counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    for folder in folders:
        verdict, text = run_case(folder, through_import=through_import)
        counts[verdict] += 1
        print(verdict, text, flush=True)
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
