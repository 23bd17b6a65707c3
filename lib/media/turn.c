/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/turn_int.h"

#include "media/libav_int.h"

/*
 * The matrix maps the coded picture to the screen. A mirror is put first, as vpi_track.flipped has it: a
 * matrix of negative determinant is a left-right mirror followed by a rotation.
 */
vpi_turn vpi_turn_of(const int32_t matrix[9])
{
    vpi_turn turn = { 0, 0 };
    int32_t m[9];
    double angle;

    memcpy(m, matrix, sizeof(m));
    if ((double)m[0] * m[4] - (double)m[1] * m[3] < 0) {
        turn.flipped = 1;
        /* Take the mirror out: x is negated before the matrix is applied. */
        m[0] = m[0] == INT32_MIN ? INT32_MAX : -m[0];
        m[1] = m[1] == INT32_MIN ? INT32_MAX : -m[1];
    }
    angle = av_display_rotation_get(m);
    if (!(angle >= -360 && angle <= 360)) return turn; /* NaN: singular */
    /* libavutil counts counter-clockwise. Other angles than quarter turns go to the nearest. */
    turn.rotation = (int32_t)((((int)(-angle + 720 + 45)) / 90 % 4) * 90);
    return turn;
}

static const AVFrameSideData *message_of(const AVFrame *av)
{
    const AVFrameSideData *data = av_frame_get_side_data(av, AV_FRAME_DATA_DISPLAYMATRIX);

    return data && data->size >= 9 * sizeof(int32_t) ? data : NULL;
}

vpi_turn vpi_turn_of_frame(const AVFrame *av)
{
    const AVFrameSideData *data = message_of(av);
    int32_t matrix[9];

    if (!data) return (vpi_turn){ 0, 0 };
    memcpy(matrix, data->data, sizeof(matrix));
    return vpi_turn_of(matrix);
}

bool vpi_turn_is_open(const vpi_turn_state *state, const AVFrame *av)
{
    return (state->any || !state->begun) && vpi_libav_is_key(av) && !message_of(av);
}

vp_status vpi_turn_keep(vpi_turn_state *state, AVFrame *av, const AVFrame *next, vp_error *err)
{
    const AVFrameSideData *own = message_of(av), *said = own;
    AVFrameSideData *given;

    if (!said && next && !vpi_libav_is_key(next)) said = message_of(next);
    if (vpi_libav_is_key(av)) state->any = false;
    state->begun = true;
    if (said) {
        memcpy(state->matrix, said->data, sizeof(state->matrix));
        state->any = true;
    }
    if (own || !state->any) return VP_OK;
    given = av_frame_new_side_data(av, AV_FRAME_DATA_DISPLAYMATRIX, sizeof(state->matrix));
    if (!given) return vpi_fail_nomem(err);
    memcpy(given->data, state->matrix, sizeof(state->matrix));
    return VP_OK;
}
