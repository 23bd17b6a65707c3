// SPDX-License-Identifier: LGPL-2.1-or-later
// Beside harness.js: what players must be told about keys, because no manifest can tell it to them.
const E = {
    ready: false,

    // hls.js reads the KID of KEYFORMAT="org.w3.clearkey", but no address of a licence server in playlists, and it asks
    // for a licence only when it has a pssh box, which that key format has not: the request is made of the KID here.
    hls(licence) {
        return { emeEnabled: true, drmSystems: { 'org.w3.clearkey': { licenseUrl: licence,
            generateRequest: (type, data, context) => ({ initDataType: 'keyids', initData: new TextEncoder().encode(
                JSON.stringify({ kids: [E.base64url(context.decryptdata.keyId)] })) }) } } };
    },

    base64url(bytes) {
        return btoa(String.fromCharCode(...bytes)).replace(/=/g, '').replace(/\+/g, '-').replace(/\//g, '_');
    },

    // T.load() for what may not play: it does not wait, and whatever goes wrong is kept among the errors of the player.
    attempt(kind, script, url) {
        T.load(kind, script, url).then(() => { E.ready = true; },
            e => T.errors.push(kind + ' load: ' + (e.code || '') + ' ' + e.message));
    },

    // Which systems and schemes the browser has: [] or what is missing.
    async missing() {
        const lacks = [];
        for (const scheme of ['cenc', 'cbcs']) {
            const one = (contentType) => [{ contentType, encryptionScheme: scheme }];
            await navigator.requestMediaKeySystemAccess('org.w3.clearkey', [{ initDataTypes: ['cenc', 'keyids'],
                videoCapabilities: one('video/mp4; codecs="avc1.64001f"'),
                audioCapabilities: one('audio/mp4; codecs="mp4a.40.2"') }]).catch(
                e => lacks.push(scheme + ': ' + e.message));
        }
        return lacks;
    },
};
