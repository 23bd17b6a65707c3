// SPDX-License-Identifier: LGPL-2.1-or-later
// One face for three players: T.load(), T.levels(), T.force(), T.state(). Whatever a player calls an error is kept.
const video = document.getElementById('video');
const T = {
    errors: [], heights: [], waits: 0, ended: 0, last: 0, back: 0, seeking: false, player: null, kind: '',

    async load(kind, script, url) {
        T.kind = kind;
        await new Promise((good, bad) => {
            const s = document.createElement('script');
            s.src = script;
            s.onload = good;
            s.onerror = () => bad(new Error('no script ' + script));
            document.head.appendChild(s);
        });
        const ready = new Promise(done => video.addEventListener('canplay', done, { once: true }));
        await T[kind](url);
        await ready;
    },

    async hls(url) {
        const hls = T.player = new Hls({ startLevel: 0, capLevelToPlayerSize: false });
        // A request that hls.js gives up because another rung was forced is told as a non-fatal "aborted".
        hls.on(Hls.Events.ERROR, (_, d) => (d.details !== 'aborted' || d.fatal) && T.errors.push('hls.js: ' + d.type + ' ' + d.details + ' ' + (d.reason || '') +
            (d.error ? ' ' + d.error.message : '') + (d.fatal ? ' (fatal)' : '')));
        hls.loadSource(url);
        hls.attachMedia(video);
    },

    async shaka(url) {
        shaka.polyfill.installAll();
        const player = T.player = new shaka.Player();
        player.addEventListener('error', e => T.errors.push('shaka: ' + e.detail.code + ' ' + e.detail.message));
        await player.attach(video);
        player.configure({ abr: { enabled: false } });
        await player.load(url);
    },

    async dash(url) {
        const player = T.player = dashjs.MediaPlayer().create();
        player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false, audio: false } },
            buffer: { fastSwitchEnabled: true } } });
        player.on(dashjs.MediaPlayer.events.ERROR, e => T.errors.push('dash.js: ' + (e.error && (e.error.code + ' ' +
            e.error.message) || e.error)));
        player.on(dashjs.MediaPlayer.events.PLAYBACK_ERROR, e => T.errors.push('dash.js: playback ' + e.error));
        player.initialize(video, url, false);
    },

    // Rungs by height, lowest first.
    levels() {
        const by = { hls: () => T.player.levels.map((l, i) => [l.height, i]),
            shaka: () => T.player.getVariantTracks().map(t => [t.height, t]),
            dash: () => T.player.getRepresentationsByType('video').map((r, i) => [r.height, r.index ?? i]) }[T.kind]();
        return by.sort((a, b) => a[0] - b[0]);
    },

    // From now on this rung, what is buffered of another thrown away.
    force(height) {
        const found = T.levels().find(l => l[0] === height);
        if (!found) throw new Error('no rung of ' + height);
        if (T.kind === 'hls') T.player.currentLevel = found[1];
        if (T.kind === 'shaka') T.player.selectVariantTrack(found[1], true, 0);
        if (T.kind === 'dash') T.player.setRepresentationForTypeByIndex('video', found[1], true);
    },

    state() {
        const q = video.getVideoPlaybackQuality();
        return { time: video.currentTime, duration: video.duration, ended: T.ended, over: video.ended, paused: video.paused,
            height: video.videoHeight, width: video.videoWidth, heights: T.heights, waits: T.waits, back: T.back,
            errors: T.errors,
            buffered: [...Array(video.buffered.length).keys()].map(i => [video.buffered.start(i), video.buffered.end(i)]),
            frames: q.totalVideoFrames, dropped: q.droppedVideoFrames,
            audio: video.webkitAudioDecodedByteCount, ready: video.readyState };
    },

    seek(time) {
        T.last = 0;
        return new Promise(done => {
            video.addEventListener('seeked', () => done(true), { once: true });
            video.currentTime = time;
        });
    },

    // Mean colours of the picture that is shown, on a grid.
    colours(w, h) {
        const c = document.createElement('canvas'), out = [];
        c.width = video.videoWidth;
        c.height = video.videoHeight;
        const g = c.getContext('2d', { willReadFrequently: true });
        g.drawImage(video, 0, 0);
        for (let y = 0; y < h; y++)
            for (let x = 0; x < w; x++) {
                const x0 = Math.floor(x * c.width / w), y0 = Math.floor(y * c.height / h);
                const x1 = Math.floor((x + 1) * c.width / w), y1 = Math.floor((y + 1) * c.height / h);
                const d = g.getImageData(x0, y0, x1 - x0, y1 - y0).data, sum = [0, 0, 0];
                for (let i = 0; i < d.length; i++) if (i % 4 < 3) sum[i % 4] += d[i];
                out.push(...sum.map(v => v / (d.length / 4)));
            }
        return out;
    },
};

video.addEventListener('resize', () => T.heights.push(video.videoHeight));
video.addEventListener('waiting', () => { if (!video.seeking) T.waits++; });
video.addEventListener('ended', () => T.ended++);
video.addEventListener('error', () => T.errors.push('video: ' + (video.error && video.error.message)));
video.addEventListener('seeking', () => { T.last = 0; });
video.addEventListener('timeupdate', () => {
    if (video.currentTime < T.last) T.back++;
    T.last = video.currentTime;
    document.getElementById('state').textContent = T.kind + ' ' + video.currentTime.toFixed(2) + ' of ' +
        video.duration.toFixed(2) + ' ' + video.videoWidth + 'x' + video.videoHeight;
});
