// LSQ's forward and backward (Esser et al. 2020), each in one pass over memory; fused.py compiles and calls it.
//
// A tensor lies in memory as [outer, channels, inner], with a scale and a zero point a channel. Sums are taken over
// pieces of fixed length, in a fixed order: neither the number of threads nor the width of a vector changes a bit.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr long PIECE = 4096;  // elements whose products are summed in fp32 before they go into an fp64 sum
constexpr int LANES = 16;     // partial sums side by side: a vector of them on any CPU
constexpr long ROWS = 64;     // the same, where neighbours in memory belong to different channels
constexpr long WORTH_A_THREAD = 1 << 15;

struct bfloat16 {
  uint16_t bits;
};

inline float load(float value) { return value; }
inline float load(bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void store(float& place, float value) { place = value; }
inline void store(bfloat16& place, float value) {  // ties to even; a NaN would be rounded to a number
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  place.bits = uint16_t(value != value ? 0x7FC0 : rounded);
}

// One channel's grid; low and high are the bounds less the zero point.
struct Grid {
  float scale, low, high;
};

inline float clamp(float level, const Grid& grid) {  // in this order of operands a NaN stays one
  level = level < grid.low ? grid.low : level;
  return level > grid.high ? grid.high : level;
}

inline float quantised(float x, const Grid& grid) {
  return clamp(std::nearbyint(x / grid.scale), grid) * grid.scale;
}

struct Gradients {
  float by_x, by_log_scale;  // the second in units of the scale
};

// What is clipped takes the level alone; the product with 0 keeps what is infinite visible, as a NaN.
inline Gradients gradients(float g, float x, const Grid& grid) {
  const float v = x / grid.scale, level = std::nearbyint(v);
  const bool clipped = (level < grid.low) | (level > grid.high);
  return {clipped ? 0.0f : g, g * (clamp(level, grid) - (clipped ? 0.0f : 1.0f) * v)};
}

struct Tensor {
  long outer, channels, inner;
  const float *scale, *zero_point;
  float low, high;
  int threads;

  Grid grid(long channel) const {
    return {scale[channel], low - zero_point[channel], high - zero_point[channel]};
  }
  bool in_rows() const { return inner == 1 && channels > 1; }
  long pieces_a_run() const { return (inner + PIECE - 1) / PIECE; }
  long pieces() const { return in_rows() ? (outer + ROWS - 1) / ROWS : outer * channels * pieces_a_run(); }
};

template <class Work>
void for_each_piece(const Tensor& t, Work work) {
  const long pieces = t.pieces(), elements = t.outer * t.channels * t.inner;
  const int threads = int(std::max(1L, std::min(long(t.threads), elements / WORTH_A_THREAD)));
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (long piece = 0; piece < pieces; piece++) work(piece);
}

// Neighbours in memory that belong to one channel: elements begin to end of a run.
struct Part {
  long channel, begin, size;
};

Part part(const Tensor& t, long piece) {
  const long run = piece / t.pieces_a_run(), offset = piece % t.pieces_a_run() * PIECE;
  return {run % t.channels, run * t.inner + offset, std::min(PIECE, t.inner - offset)};
}

template <class T>
void forward_part(const Grid grid, long size, const T* __restrict x, T* __restrict y) {
  for (long i = 0; i < size; i++) store(y[i], quantised(load(x[i]), grid));
}

template <class T>
float backward_part(const Grid grid, long size, const T* __restrict g, const T* __restrict x, T* __restrict by_x) {
  float lanes[LANES] = {}, sum = 0;
  long i = 0;
  for (; i + LANES <= size; i += LANES)
    for (int lane = 0; lane < LANES; lane++) {
      const Gradients all = gradients(load(g[i + lane]), load(x[i + lane]), grid);
      store(by_x[i + lane], all.by_x);
      lanes[lane] += all.by_log_scale;
    }
  for (; i < size; i++) {
    const Gradients all = gradients(load(g[i]), load(x[i]), grid);
    store(by_x[i], all.by_x);
    lanes[0] += all.by_log_scale;
  }
  for (float lane : lanes) sum += lane;
  return sum;
}

// Neighbours that belong to different channels: one row.
template <class T>
void forward_row(const Tensor& t, const T* __restrict x, T* __restrict y) {
  for (long channel = 0; channel < t.channels; channel++)
    store(y[channel], quantised(load(x[channel]), t.grid(channel)));
}

template <class T>
void backward_row(const Tensor& t, const T* __restrict g, const T* __restrict x, T* __restrict by_x,
                  float* __restrict sums) {
  for (long channel = 0; channel < t.channels; channel++) {
    const Gradients all = gradients(load(g[channel]), load(x[channel]), t.grid(channel));
    store(by_x[channel], all.by_x);
    sums[channel] += all.by_log_scale;
  }
}

template <class T>
void forward(const Tensor& t, const T* x, T* y) {
  for_each_piece(t, [&](long piece) {
    if (t.in_rows()) {
      for (long row = piece * ROWS; row < std::min((piece + 1) * ROWS, t.outer); row++)
        forward_row(t, x + row * t.channels, y + row * t.channels);
    } else {
      const Part p = part(t, piece);
      forward_part(t.grid(p.channel), p.size, x + p.begin, y + p.begin);
    }
  });
}

template <class T>
void backward(const Tensor& t, const T* g, const T* x, T* by_x, double* by_scale) {
  const long width = t.in_rows() ? t.channels : 1, pieces = t.pieces();
  std::vector<float> sums(pieces * width);
  for_each_piece(t, [&](long piece) {
    if (t.in_rows()) {
      for (long row = piece * ROWS; row < std::min((piece + 1) * ROWS, t.outer); row++) {
        const long i = row * t.channels;
        backward_row(t, g + i, x + i, by_x + i, &sums[piece * width]);
      }
    } else {
      const Part p = part(t, piece);
      sums[piece] = backward_part(t.grid(p.channel), p.size, g + p.begin, x + p.begin, by_x + p.begin);
    }
  });
  std::fill(by_scale, by_scale + t.channels, 0.0);
  for (long piece = 0; piece < pieces; piece++)
    for (long i = 0; i < width; i++)
      by_scale[t.in_rows() ? i : part(t, piece).channel] += sums[piece * width + i];
}

}  // namespace

extern "C" {
void forward_float32(const Tensor* t, const float* x, float* y) { forward(*t, x, y); }
void forward_bfloat16(const Tensor* t, const bfloat16* x, bfloat16* y) { forward(*t, x, y); }
void backward_float32(const Tensor* t, const float* g, const float* x, float* by_x, double* by_scale) {
  backward(*t, g, x, by_x, by_scale);
}
void backward_bfloat16(const Tensor* t, const bfloat16* g, const bfloat16* x, bfloat16* by_x, double* by_scale) {
  backward(*t, g, x, by_x, by_scale);
}
}
