/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The document that asks a key server for one key. */
#include "base/hash.h"
#include "crypt/key_int.h"
#include "crypt/speke_int.h"

/* Of HLS with keys from an address, as SPEKE calls it. */
static const uint8_t by_address[16] = { 0x81, 0x37, 0x68, 0x44, 0xF9, 0x76, 0x48, 0x1E,
                                        0xA8, 0x4E, 0xCC, 0x25, 0xD3, 0x9B, 0x0B, 0x33 };

/* ---- what is asked for ---- */

vp_status vpi_speke_systems(const char *words, vpi_speke_form *form, vp_error *err)
{
    const char *p = words ? words : "widevine,playready,fairplay";
    char word[VPI_UUID_TEXT];

    for (;; p++) {
        size_t n = strcspn(p, ",");
        uint8_t *to = form->systems[form->system_count];

        if (form->system_count == VPI_SPEKE_SYSTEMS)
            return vpi_fail(err, VP_E_ARG, NULL, "systems: more than %u", VPI_SPEKE_SYSTEMS);
        vpi_strlcpy(word, p, VPI_MIN(n + 1, sizeof(word)));
        if (n >= sizeof(word) || !vpi_key_system_parse(word, to))
            return vpi_fail(err, VP_E_ARG, NULL, "systems: \"%s\" is neither a name nor an id", word);
        for (size_t i = 0; i < form->system_count; i++)
            if (memcmp(form->systems[i], to, 16) == 0)
                return vpi_fail(err, VP_E_ARG, NULL, "systems: \"%s\" is there twice", word);
        form->system_count++;
        p += n;
        if (!*p) return VP_OK;
    }
}

void vpi_speke_kid(const char *content_id, vpi_scheme scheme, const char *label, uint32_t period,
                   uint8_t kid[16])
{
    uint8_t digest[32];
    vpi_sha256 sha;

    vpi_sha256_init(&sha);
    vpi_sha256_add_str(&sha, "vodpipe speke kid");
    vpi_sha256_add_str(&sha, content_id);
    vpi_sha256_add_str(&sha, vpi_scheme_word(scheme));
    vpi_sha256_add_str(&sha, label);
    vpi_sha256_add_u64(&sha, period);
    vpi_sha256_done(&sha, digest);
    memcpy(kid, digest, 16);
    /* Version 5 is of SHA-1, but says "made from a name"; version 8 (RFC 9562 5.8) is too new for many servers. */
    kid[6] = (uint8_t)((kid[6] & 0x0f) | 0x50);
    kid[8] = (uint8_t)((kid[8] & 0x3f) | 0x80);
}

/* ---- writing ---- */

static void add_escaped(vpi_buf *b, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            vpi_buf_str(b, "&amp;");
            break;
        case '<':
            vpi_buf_str(b, "&lt;");
            break;
        case '"':
            vpi_buf_str(b, "&quot;");
            break;
        default:
            vpi_buf_u8(b, (uint8_t)*text);
        }
    }
}

/*
 * Only what is used of the answer: a server has to fill all that the document names. For FairPlay and AES-128 the
 * lines of the playlists, of which both are asked for or none; of the others the box, and what MPDs hold, where the
 * licence server is.
 */
static void add_system(vpi_buf *b, const uint8_t system[16], const char *kid, bool by_line)
{
    char id[VPI_UUID_TEXT];

    vpi_uuid_text(system, id);
    vpi_buf_printf(b, "<cpix:DRMSystem kid=\"%s\" systemId=\"%s\">", kid, id);
    vpi_buf_str(
        b, by_line ? "<cpix:HLSSignalingData playlist=\"media\"/><cpix:HLSSignalingData playlist=\"master\"/>"
                   : "<cpix:PSSH/><cpix:ContentProtectionData/>");
    vpi_buf_str(b, "</cpix:DRMSystem>");
}

static void add_systems(vpi_buf *b, const vpi_speke_form *form, vpi_scheme scheme, const char *kid)
{
    vpi_buf_str(b, "<cpix:DRMSystemList>");
    if (scheme == VPI_SCHEME_AES128) {
        add_system(b, by_address, kid, true);
    } else {
        for (size_t i = 0; i < form->system_count; i++) {
            bool fairplay = memcmp(form->systems[i], vpi_system_fairplay, 16) == 0;

            /* FairPlay knows cbcs only, and a server may refuse the whole document for it. */
            if (!fairplay || scheme == VPI_SCHEME_CBCS) add_system(b, form->systems[i], kid, fairplay);
        }
    }
    vpi_buf_str(b, "</cpix:DRMSystemList>");
}

static void add_recipient(vpi_buf *b, const vpi_speke_form *form)
{
    if (!form->certificate) return;
    vpi_buf_str(b, "<cpix:DeliveryDataList><cpix:DeliveryData id=\"vodpipe\"><cpix:DeliveryKey>"
                   "<ds:X509Data><ds:X509Certificate>");
    vpi_base64_add(b, form->certificate, form->certificate_size);
    vpi_buf_str(b, "</ds:X509Certificate></ds:X509Data></cpix:DeliveryKey></cpix:DeliveryData>"
                   "</cpix:DeliveryDataList>");
}

/* The encryption contract. Borders of pictures as in docs/encryption.md. */
static void add_rule(vpi_buf *b, const char *label, uint32_t period, const char *kid)
{
    static const struct {
        const char *label, *type, *filter;
    } rules[] = {
        { "audio", "AUDIO", "<cpix:AudioFilter/>" },
        { "sd", "SD", "<cpix:VideoFilter maxPixels=\"442368\"/>" },
        { "hd", "HD", "<cpix:VideoFilter minPixels=\"442369\" maxPixels=\"2073600\"/>" },
        { "uhd", "UHD", "<cpix:VideoFilter minPixels=\"2073601\"/>" },
        { "trick", "TRICK", "<cpix:VideoFilter/>" },
    };

    for (size_t i = 0; i < VPI_COUNT(rules); i++) {
        if (strcmp(rules[i].label, label) != 0) continue;
        vpi_buf_printf(
            b, "<cpix:ContentKeyUsageRuleList><cpix:ContentKeyUsageRule kid=\"%s\" intendedTrackType=\"%s\">",
            kid, rules[i].type);
        if (period) vpi_buf_printf(b, "<cpix:KeyPeriodFilter periodId=\"period-%u\"/>", (unsigned)period);
        vpi_buf_str(b, rules[i].filter);
        vpi_buf_str(b, "</cpix:ContentKeyUsageRule></cpix:ContentKeyUsageRuleList>");
    }
}

/*
 * Of the four schemes that CPIX 2.3 has words for, cbcs is what HLS means by its own; AES-128 has a word since CPIX
 * 2.4, that is SPEKE 2.1. Without rotation there is no list of periods, as in SPEKE's documents for VOD.
 */
void vpi_speke_document(const vpi_speke_form *form, const char *content_id, vpi_scheme scheme,
                        const char *label, uint32_t period, const uint8_t kid[16], vpi_buf *out)
{
    char id[VPI_UUID_TEXT];

    vpi_uuid_text(kid, id);
    vpi_buf_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cpix:CPIX contentId=\"");
    add_escaped(out, content_id);
    vpi_buf_str(out, "\" version=\"2.3\" xmlns:cpix=\"urn:dashif:org:cpix\" "
                     "xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\" "
                     "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">");
    add_recipient(out, form);
    vpi_buf_printf(out,
                   "<cpix:ContentKeyList><cpix:ContentKey kid=\"%s\" commonEncryptionScheme=\"%s\"/>"
                   "</cpix:ContentKeyList>",
                   id, scheme == VPI_SCHEME_CENC ? "cenc" : "cbcs");
    add_systems(out, form, scheme, id);
    if (period) {
        vpi_buf_printf(out,
                       "<cpix:ContentKeyPeriodList><cpix:ContentKeyPeriod id=\"period-%u\" index=\"%u\"/>"
                       "</cpix:ContentKeyPeriodList>",
                       (unsigned)period, (unsigned)period);
    }
    add_rule(out, label, period, id);
    vpi_buf_str(out, "</cpix:CPIX>\n");
}
