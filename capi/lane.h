#ifndef DUROXIDE_LANE_H
#define DUROXIDE_LANE_H

#include <stdint.h>

// What a lane shares with its callback. It belongs to the Python thread; out points to bytes that this thread keeps
// until its next callback.
typedef struct {
  const void *out;
  int64_t out_len;
} dx_lane_shared;

// Gets one frame and answers 1 with out and out_len set. Anything else is no answer.
typedef int32_t (*dx_callback)(const void *in, int64_t in_len);

static inline int32_t dx_invoke(dx_callback call, const void *in, int64_t in_len) { return call(in, in_len); }

#endif
