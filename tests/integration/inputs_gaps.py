# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test_inputs.py that are known not to hold yet: (row, input) -> what happens instead. A case that begins to
hold fails the test until its line is taken out here (and INPUTS.md is written anew)."""

GAPS = {
    ("I03", "every tenth picture has its predecessor's time"): "times rise, but the count is not told",
    ("I04", "times jump ahead by 5000 s"): "the second recording is lost",
    ("I04", "times fall back by 5000 s"): "the second recording is lost",
    ("I05", "raw H.264, rate in its headers"): "refused: INPUT_CORRUPT",
    ("I05", "raw HEVC without a rate"): "refused: INPUT_CORRUPT",
    ("I13", "interlaced, top field first"): "25 pictures a second, with combs",
    ("I13", "interlaced, --max-fps 30"): "combs",
    ("I13", "interlaced, flagged as progressive"): "combs, no warning",
    ("I13", "progressive, flagged as interlaced"): "INTERLACED is warned",
    ("I15", "10-bit HLG, BT.2020"): "not tone-mapped",
    ("I15", "10-bit PQ, BT.2020"): "not tone-mapped",
    ("I21", "AC-3 5.1"): "stereo only",
    ("I21", "AAC 5.1"): "stereo only",
}
