"""Adds up JUnit results: the line that CI reads, and the exit code.

count.py FOLDER SUITE...: a suite without a result file counts as one failure.
"""
import sys
import xml.etree.ElementTree as tree

folder, suites = sys.argv[1], sys.argv[2:]
passed = failed = skipped = 0
for suite in suites:
    try:
        cases = list(tree.parse(f"{folder}/{suite}.xml").iter("testcase"))
    except (OSError, tree.ParseError):
        cases = []
    if not cases:
        print(f"{suite}: no results")
        failed += 1
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            print(f"FAILED {suite}: {case.get('classname')} {case.get('name')}")
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
tail = f", {skipped} skipped" if skipped else ""
print(f"{passed} passed, {failed} failed{tail}")
sys.exit(1 if failed else 0)
