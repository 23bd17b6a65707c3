/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_VODPIPE_H
#define VODPIPE_VODPIPE_H

/* Everything: see docs/getting-started.md for the way through. */

#include <vodpipe/base.h>
#include <vodpipe/event.h>
#include <vodpipe/http.h>
#include <vodpipe/ingest.h>
#include <vodpipe/io.h>
#include <vodpipe/job.h>
#include <vodpipe/ladder.h>
#include <vodpipe/crypt.h>
#include <vodpipe/manifest.h>
#include <vodpipe/media.h>
#include <vodpipe/package.h>
#include <vodpipe/presentation.h>
#include <vodpipe/probe.h>
#include <vodpipe/s3.h>
#include <vodpipe/transcode.h>
#include <vodpipe/tus.h>
#include <vodpipe/verify.h>
#include <vodpipe/version.h>

#endif
