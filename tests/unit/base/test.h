/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_BASE_TEST_H
#define VPT_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#endif
