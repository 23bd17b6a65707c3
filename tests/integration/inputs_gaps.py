# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test_inputs.py that are known not to hold yet: (row, input) -> what happens instead. A case that begins to
hold fails the test until its line is taken out here (and INPUTS.md is written anew)."""

GAPS = {}
