# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of test_inputs.py that are known not to hold yet: what happens instead."""

GAPS = {}
