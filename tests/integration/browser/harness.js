// SPDX-License-Identifier: LGPL-2.1-or-later
// One face for three players: T.load(), T.levels(), T.force(), T.reach(), T.state(). Whatever a player calls an error is
// kept, but for hls.js' word that the picture stands still for a moment: see stall().
const video = document.getElementById('video');
const T = {
    errors: [], heights: [], waits: 0, stalls: 0, ended: 0, last: 0, back: 0, goal: null, player: null, kind: '',
    told: [],       // what happened, for people
    options: {},    // beside what is set here: of Hls, shaka.Player.configure, dash.js setProtectionData
    prepare: null,  // called with the player of Shaka before it loads

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
        const hls = T.player = new Hls({ startLevel: 0, capLevelToPlayerSize: false, ...T.options });
        // A request that hls.js gives up because another rung was forced is told as a non-fatal "aborted".
        hls.on(Hls.Events.ERROR, (_, d) => {
            const text = 'hls.js: ' + d.type + ' ' + d.details + ' ' + (d.reason || '') +
                (d.error ? ' ' + d.error.message : '') + (d.fatal ? ' (fatal)' : '');
            T.tell(text);
            if (T.stall(d)) T.stalls++;
            else if (d.details !== 'aborted' || d.fatal) T.errors.push(text);
        });
        hls.loadSource(url);
        hls.attachMedia(video);
    },

    // On a busy machine the picture stands still now and then: hls.js then pushes the clock, three times at most before it
    // calls it fatal, also while what was forced is waited for with an empty buffer. A gap in a title is told as
    // bufferSeekOverHole, and beside one the clock is not well inside of what is buffered.
    stall(d) {
        return !d.fatal && (d.details === 'bufferStalledError' ||
            d.details === 'bufferNudgeOnStall' && (T.goal !== null && d.buffer === 0 || T.inside()));
    },

    inside() {
        const t = video.currentTime;
        return T.buffered().some(b => b[0] <= Math.max(t - 0.3, 0) && b[1] >= t + 0.3);
    },

    async shaka(url) {
        shaka.polyfill.installAll();
        const player = T.player = new shaka.Player();
        player.addEventListener('error', e => T.errors.push('shaka: ' + e.detail.code + ' ' + e.detail.message));
        await player.attach(video);
        player.configure({ abr: { enabled: false }, ...T.options });
        if (T.prepare) T.prepare(player);
        await player.load(url);
    },

    async dash(url) {
        const player = T.player = dashjs.MediaPlayer().create();
        // A title has no gaps to jump over, and a jump would hide one; a busy machine's late pictures look like one.
        player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false, audio: false } },
            buffer: { fastSwitchEnabled: true }, gaps: { jumpGaps: false, enableSeekFix: false } } });
        player.on(dashjs.MediaPlayer.events.ERROR, e => T.errors.push('dash.js: ' + (e.error && (e.error.code + ' ' +
            e.error.message) || e.error)));
        player.on(dashjs.MediaPlayer.events.PLAYBACK_ERROR, e => T.errors.push('dash.js: playback ' + e.error));
        player.initialize(video, null, false);
        if (Object.keys(T.options).length) player.setProtectionData(T.options);
        player.attachSource(url);
    },

    // Rungs by height, lowest first.
    levels() {
        const by = { hls: () => T.player.levels.map((l, i) => [l.height, i]),
            shaka: () => T.player.getVariantTracks().map(t => [t.height, t]),
            dash: () => T.player.getRepresentationsByType('video').map(r => [r.height, r.id]) }[T.kind]();
        return by.sort((a, b) => a[0] - b[0]);
    },

    // Height of the rung that is loaded.
    rung() {
        return { hls: () => (T.player.levels[T.player.loadLevel] || {}).height,
            shaka: () => (T.player.getVariantTracks().find(t => t.active) || {}).height,
            dash: () => (T.player.getCurrentRepresentationForType('video') || {}).height }[T.kind]();
    },

    // There is something to play. hls.js leaves gaps where it has to throw away what it still loads: it loads all.
    filled() {
        const until = T.kind === 'hls' ? video.duration - 0.5 : Math.min(video.currentTime + 1, video.duration - 0.2);
        return !video.seeking && T.buffered().some(b => b[0] <= video.currentTime + 0.1 && b[1] >= until);
    },

    // From now on this rung, what is buffered of another thrown away.
    force(height) {
        const found = T.levels().find(l => l[0] === height);
        if (!found) throw new Error('no rung of ' + height);
        T.tell('force ' + height);
        if (T.kind === 'hls') T.player.currentLevel = found[1];
        if (T.kind === 'shaka') T.player.selectVariantTrack(found[1], true, 0);
        if (T.kind === 'dash') T.player.setRepresentationForTypeById('video', found[1], true);
    },

    // Plays on until a picture of this height is shown after this time, and pauses there: what asks for it may be late.
    reach(height, time) {
        T.goal = [height, time];
        T.tell('reach ' + height + ' after ' + time);
        return video.play();
    },

    arrived() {
        if (!T.goal || video.videoHeight !== T.goal[0] || video.currentTime <= T.goal[1]) return;
        T.goal = null;
        video.pause();
    },

    buffered() {
        return [...Array(video.buffered.length).keys()].map(i => [video.buffered.start(i), video.buffered.end(i)]);
    },

    // Another value whenever something has moved.
    moves() {
        return [video.currentTime, video.videoHeight, video.readyState, video.seeking, video.ended, T.ended, T.buffered()].join();
    },

    tell(what) {
        T.told.push((performance.now() / 1000).toFixed(2) + ' ' + what + ' @' + video.currentTime.toFixed(2) + ' ' +
            video.videoHeight + 'p ready ' + video.readyState + ' [' +
            T.buffered().map(b => b.map(t => t.toFixed(2)).join('-')).join(' ') + ']');
        if (T.told.length > 60) T.told.shift();
    },

    state() {
        const q = video.getVideoPlaybackQuality();
        return { time: video.currentTime, duration: video.duration, ended: T.ended, over: video.ended, paused: video.paused,
            height: video.videoHeight, width: video.videoWidth, heights: T.heights, waits: T.waits, back: T.back,
            errors: T.errors, stalls: T.stalls, buffered: T.buffered(),
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

for (const name of ['waiting', 'playing', 'pause', 'seeking', 'seeked', 'stalled', 'ended', 'resize', 'error'])
    video.addEventListener(name, () => T.tell(name));
video.addEventListener('resize', () => { T.heights.push(video.videoHeight); T.arrived(); });
video.addEventListener('waiting', () => { if (!video.seeking) T.waits++; });
video.addEventListener('ended', () => T.ended++);
video.addEventListener('error', () => T.errors.push('video: ' + (video.error && video.error.message)));
video.addEventListener('seeking', () => { T.last = 0; });
video.addEventListener('timeupdate', () => {
    if (video.currentTime < T.last && !video.seeking) {
        T.back++;
        T.tell('back from ' + T.last);
    }
    T.last = video.currentTime;
    T.arrived();
    document.getElementById('state').textContent = T.kind + ' ' + video.currentTime.toFixed(2) + ' of ' +
        video.duration.toFixed(2) + ' ' + video.videoWidth + 'x' + video.videoHeight;
});
