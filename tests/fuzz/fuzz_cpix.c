/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPIX documents, read by somebody who has no private key, and by the recipient of the encrypted ones of the corpus. */
#include "fuzz.h"

#include "crypt/crypt_int.h"

/* Made for this file only, and short, so that a run is quick. */
static const char recipient[] = "-----BEGIN RSA PRIVATE KEY-----\n"
                                "MIICXgIBAAKBgQDDWNNrFgDjDiB1o+lAsypWPBPov324RZ70fmLOvbbFYtthmh1B\n"
                                "r9ndBiKYkEJ5vuNDQoCPfWTNfyLNk+0lqPyZNk19BQjftIGRaXVRQ5/OrkjmH5rq\n"
                                "pgWLTrlP4uINBS2KKWvhlB8bKk63Ln4jPl/VnJpnVS07mN23hWZMpMTGkwIDAQAB\n"
                                "AoGBAKntbdOcS1833bKXyAKZF/31utffI4yVO2WxP2BaFVB04yNu/X4za0/h01xl\n"
                                "OP5Qt769bbnkOTitHGg6ArOc4UUZq5TfXr0PEBvxcQTxUDdo6Pdk+G7ux/Gw2OHz\n"
                                "KDV2VXmcwjtHwkxsBR85/mihF388y6Ot0B6cDjTcQzpi9A7pAkEA/UpdH3dNxkiB\n"
                                "Ojr2ECyaB4jNUcxMG1gCYPfY3VOXT5PiPVmHscGI9SfVA1H9azEsFb/Kqi8Dx/rg\n"
                                "LMOWtx0eHwJBAMVvyKMfyY9cJKQMiarZBBX5b1mZBVnnBBGVP2kzTKsHoixZhEUx\n"
                                "2uhe3HXuqAHfxpoAiEP2pkzGnmCdZmMP4Q0CQQDWjZlYQBz3aw9cHfm1NbK70xvo\n"
                                "wB9vwhsxvIBM6rPvSpuH0EDrR78Vu0nq6Ba8KAjp2252viB703z1LjCKp/WNAkBT\n"
                                "/cH040jz29caktrd+4RpdLuR+i70l/p7IGrhbhlniM/M3igO566gu/o9kVGXuoLa\n"
                                "cO+HOh50+unVYCB2dALhAkEAj3zXxtlzSMSPfiMbhx3APV3mR5voyi/LauIGwCVf\n"
                                "FDna9wGZ+POGl0w3XPumOBCpDX9H5YvlRezAGYUp5O0rhQ==\n"
                                "-----END RSA PRIVATE KEY-----\n";

/* A message tells elements, lines and UUIDs; the base64 of a key is longer than any word of it. */
static void without_keys(const char *message)
{
    for (size_t run = 0; *message; message++) {
        bool letter = (*message >= '0' && *message <= '9') || (*message >= 'a' && *message <= 'z') ||
                      (*message >= 'A' && *message <= 'Z');

        run = letter ? run + 1 : 0;
        FUZZ_CHECK(run < 24);
    }
}

static void parse(const uint8_t *d, size_t size, const char *key, size_t key_size)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    vp_status st = vpi_cpix_parse(d, size, key, key_size, NULL, &list, &err);

    without_keys(err.message);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_CHECK(st == VP_OK ? list.count > 0 : !list.keys);
    for (size_t i = 0; i < list.count; i++) {
        const vpi_key *k = &list.keys[i];

        FUZZ_CHECK(vpi_label_valid(k->label));
        FUZZ_CHECK(k->period < VPI_KEY_PERIODS_MAX);
        FUZZ_CHECK(k->info.has_kid && k->info.drm_count <= VPI_KEY_DRM_MAX);
    }
    vpi_key_list_dispose(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);

    parse(d, size, NULL, 0);
    parse(d, size, recipient, sizeof(recipient) - 1);
    free(d);
    return 0;
}
