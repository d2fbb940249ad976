// Group norm, its activation and the sums around it, in as few passes over memory as they take: on a
// GPU these are bound by memory, and libtorch makes five passes of them in channels-last.
//
// Tensors are (N, L, C), the C channels of a pixel side by side, in STORED: 32 (f32), 16 (f16) or 17
// (bf16); all arithmetic is in f32. A thread has WIDTH channels, 16 bytes, of every rows-th pixel of its
// chunk; a block has one chunk of pixels of one picture, and its threads are rows * (C / WIDTH).
// NVRTC has no header files at hand, so that 16-bit types are converted by their instructions.

#if STORED == 32
#define WIDTH 4
#else
#define WIDTH 8
#endif

struct alignas(16) Pack {
  unsigned words[4];
};

__device__ inline float from_half(unsigned short bits) {
#if STORED == 17
  return __uint_as_float((unsigned)bits << 16);
#else
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#endif
}

__device__ inline unsigned short to_half(float value) {
  unsigned short bits;
#if STORED == 17
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#endif
  return bits;
}

__device__ inline void unpack(const Pack &pack, float *values) {
#pragma unroll
  for (int word = 0; word < 4; ++word) {
#if STORED == 32
    values[word] = __uint_as_float(pack.words[word]);
#else
    values[2 * word] = from_half(pack.words[word] & 0xffff);
    values[2 * word + 1] = from_half(pack.words[word] >> 16);
#endif
  }
}

__device__ inline Pack packed(const float *values) {
  Pack pack;
#pragma unroll
  for (int word = 0; word < 4; ++word) {
#if STORED == 32
    pack.words[word] = __float_as_uint(values[word]);
#else
    pack.words[word] = to_half(values[2 * word]) | ((unsigned)to_half(values[2 * word + 1]) << 16);
#endif
  }
  return pack;
}

// A chunk's share of one channel: sums of differences to its first pixel, so that a mean far from zero
// leaves the squares their digits.
struct Sums {
  float first, sum, squares;
};

// Loads that a thread has under way at once.
#define AHEAD 4
#define INFINITY __int_as_float(0x7f800000)

// The pixels of a block, and the channels of a thread.
struct Place {
  int lanes, lane, row, rows, begin, end;
  long long offset;  // of the picture, in packs
  __device__ Place(int pixels, int channels, int chunk) {
    lanes = channels / WIDTH;
    lane = threadIdx.x % lanes;
    row = threadIdx.x / lanes;
    rows = blockDim.x / lanes;
    begin = blockIdx.x * chunk;
    end = min(begin + chunk, pixels);
    offset = (long long)blockIdx.y * pixels * lanes;
  }
  __device__ long long at(int pixel) const { return offset + (long long)pixel * lanes + lane; }
};

// out = hidden + residual + bias, rounded, and the sums of it. Without a residual and a bias nothing is
// written, and the sums are hidden's. `sums` may be null.
extern "C" __global__ void __launch_bounds__(512, 2) add_and_sum(const Pack *hidden, const Pack *residual, const float *bias, Pack *out,
                                       Sums *sums, int pixels, int channels, int chunk) {
  Place place(pixels, channels, chunk);
  float bias_here[WIDTH], first[WIDTH], sum[WIDTH], squares[WIDTH];
#pragma unroll
  for (int at = 0; at < WIDTH; ++at) {
    bias_here[at] = bias ? bias[place.lane * WIDTH + at] : 0.0f;
    sum[at] = squares[at] = 0.0f;
  }
  // What is summed about, the same in all rows: hidden's first pixel, whatever is added to it.
  unpack(hidden[place.at(place.begin)], first);
  // All rows have read it before one may write there.
  if (out == hidden) __syncthreads();
  for (int from = place.begin + place.row; from < place.end; from += AHEAD / 2 * place.rows) {
    Pack packs[AHEAD / 2], added_packs[AHEAD / 2];
#pragma unroll
    for (int next = 0; next < AHEAD / 2; ++next) {
      int pixel = from + next * place.rows;
      if (pixel >= place.end) continue;
      packs[next] = hidden[place.at(pixel)];
      if (residual) added_packs[next] = residual[place.at(pixel)];
    }
#pragma unroll
    for (int next = 0; next < AHEAD / 2; ++next) {
      int pixel = from + next * place.rows;
      if (pixel >= place.end) continue;
      float values[WIDTH];
      unpack(packs[next], values);
      if (out) {
        float added[WIDTH];
        if (residual) unpack(added_packs[next], added);
#pragma unroll
        for (int at = 0; at < WIDTH; ++at) values[at] += (residual ? added[at] : 0.0f) + bias_here[at];
        Pack pack = packed(values);
        out[place.at(pixel)] = pack;
        unpack(pack, values);
      }
#pragma unroll
      for (int at = 0; at < WIDTH; ++at) {
        float difference = values[at] - first[at];
        sum[at] += difference;
        squares[at] += difference * difference;
      }
    }
  }
  if (!sums) return;
  extern __shared__ float2 shared[];  // rows * channels
#pragma unroll
  for (int at = 0; at < WIDTH; ++at)
    shared[place.row * channels + place.lane * WIDTH + at] = make_float2(sum[at], squares[at]);
  // `first` of a channel is known to the thread that has it in row 0.
  __syncthreads();
  if (place.row) return;
  for (int at = 0; at < WIDTH; ++at) {
    int channel = place.lane * WIDTH + at;
    Sums total = {first[at], 0.0f, 0.0f};
    for (int row = 0; row < place.rows; ++row) {
      total.sum += shared[row * channels + channel].x;
      total.squares += shared[row * channels + channel].y;
    }
    sums[((long long)blockIdx.y * gridDim.x + blockIdx.x) * channels + channel] = total;
  }
}

// What group norm makes of a channel as one product and one sum: scale * x + shift, of values that
// `bias` (may be null) has still to be added to. A block has one group of one picture.
extern "C" __global__ void scale_and_shift(const Sums *sums, const float *bias, const float *weight, const float *beta,
                                           float *scale, float *shift, int pixels, int channels, int chunk,
                                           int chunks, double eps) {
  int in_group = channels / gridDim.x, first_channel = blockIdx.x * in_group;
  double sum = 0.0, squares = 0.0;
  for (int at = threadIdx.x; at < chunks * in_group; at += blockDim.x) {
    int number = at / in_group, channel = first_channel + at % in_group;
    Sums part = sums[((long long)blockIdx.y * chunks + number) * channels + channel];
    double count = min(chunk, pixels - number * chunk), about = (double)part.first + (bias ? bias[channel] : 0.0f);
    sum += part.sum + count * about;
    squares += part.squares + 2.0 * about * part.sum + count * about * about;
  }
  __shared__ double totals[2][512];
  totals[0][threadIdx.x] = sum;
  totals[1][threadIdx.x] = squares;
  for (int half = blockDim.x / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half)
      for (int which = 0; which < 2; ++which) totals[which][threadIdx.x] += totals[which][threadIdx.x + half];
  }
  __syncthreads();
  double count = (double)pixels * in_group, mean = totals[0][0] / count;
  double variance = totals[1][0] / count - mean * mean;
  // A difference of two sums may round to less than nothing; NaN stays.
  double deviation = sqrt((variance < 0.0 ? 0.0 : variance) + eps);
  for (int at = threadIdx.x; at < in_group; at += blockDim.x) {
    int channel = first_channel + at;
    double scaled = weight[channel] / deviation;
    scale[blockIdx.y * channels + channel] = scaled;
    shift[blockIdx.y * channels + channel] = beta[channel] + ((bias ? bias[channel] : 0.0f) - mean) * scaled;
  }
}

#if STORED == 32
#define EXP expf
#else
#define EXP __expf
#endif

// 0 none, 1 SiLU, 2 Mish, 3 GELU by the error function, 4 ReLU.
__device__ inline float activated(float x, int activation) {
  switch (activation) {
    case 1: return x / (1.0f + EXP(-x));
    case 2: return x * tanhf(x > 20.0f ? x : log1pf(EXP(x)));
    case 3: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case 4: return x < 0.0f ? 0.0f : x;
    default: return x;
  }
}

// out = activation(scale * hidden + shift)
extern "C" __global__ void __launch_bounds__(512, 2) apply(const Pack *hidden, const float *scale, const float *shift, Pack *out, int pixels,
                                 int channels, int chunk, int activation) {
  Place place(pixels, channels, chunk);
  float scale_here[WIDTH], shift_here[WIDTH];
#pragma unroll
  for (int at = 0; at < WIDTH; ++at) {
    int channel = blockIdx.y * channels + place.lane * WIDTH + at;
    scale_here[at] = scale[channel];
    shift_here[at] = shift[channel];
  }
  for (int from = place.begin + place.row; from < place.end; from += AHEAD * place.rows) {
    Pack packs[AHEAD];
#pragma unroll
    for (int next = 0; next < AHEAD; ++next) {
      int pixel = from + next * place.rows;
      if (pixel < place.end) packs[next] = hidden[place.at(pixel)];
    }
#pragma unroll
    for (int next = 0; next < AHEAD; ++next) {
      int pixel = from + next * place.rows;
      if (pixel >= place.end) continue;
      float values[WIDTH];
      unpack(packs[next], values);
#pragma unroll
      for (int at = 0; at < WIDTH; ++at)
        values[at] = activated(fmaf(values[at], scale_here[at], shift_here[at]), activation);
      out[place.at(pixel)] = packed(values);
    }
  }
}

// Each pixel becomes a 2x2 square; `width` is that of the smaller picture.
extern "C" __global__ void upsample_nearest_2x(const Pack *hidden, Pack *out, int pixels, int channels, int chunk, int width) {
  Place place(pixels, channels, chunk);
  for (int pixel = place.begin + place.row; pixel < place.end; pixel += place.rows) {
    Pack pack = hidden[place.at(pixel)];
    long long y = pixel / width, x = pixel % width;
    long long corner = 4 * place.offset + (2 * y * 2 * width + 2 * x) * place.lanes + place.lane;
    out[corner] = out[corner + place.lanes] = pack;
    corner += 2LL * width * place.lanes;
    out[corner] = out[corner + place.lanes] = pack;
  }
}

// softmax(scale * scores) over `columns`, an even number, of each row; from f32, rounded once. A block has
// a row.
extern "C" __global__ void softmax(const float2 *scores, unsigned *out, int columns, float scale) {
  int pairs = columns / 2;
  scores += (long long)blockIdx.x * pairs;
  out += (long long)blockIdx.x * pairs;
  float largest = -INFINITY, sum = 0.0f;
  for (int from = threadIdx.x; from < pairs; from += AHEAD * blockDim.x) {
    float2 values[AHEAD];
    float here = -INFINITY;
#pragma unroll
    for (int next = 0; next < AHEAD; ++next) {
      int at = from + next * blockDim.x;
      values[next] = at < pairs ? scores[at] : make_float2(-INFINITY, -INFINITY);
      here = fmaxf(here, fmaxf(values[next].x, values[next].y));
    }
    float before = largest;
    largest = fmaxf(largest, here);
    // At first nothing is summed, and `before` is minus infinity.
    sum = sum == 0.0f ? 0.0f : sum * __expf(scale * (before - largest));
#pragma unroll
    for (int next = 0; next < AHEAD; ++next)
      sum += __expf(scale * (values[next].x - largest)) + __expf(scale * (values[next].y - largest));
  }
  __shared__ float2 shared[256];
  shared[threadIdx.x] = make_float2(largest, sum);
  for (int half = blockDim.x / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      float2 one = shared[threadIdx.x], other = shared[threadIdx.x + half];
      float both = fmaxf(one.x, other.x);
      float first = one.y == 0.0f ? 0.0f : one.y * __expf(scale * (one.x - both));
      float second = other.y == 0.0f ? 0.0f : other.y * __expf(scale * (other.x - both));
      shared[threadIdx.x] = make_float2(both, first + second);
    }
  }
  __syncthreads();
  largest = shared[0].x;
  float factor = 1.0f / shared[0].y;
  for (int at = threadIdx.x; at < pairs; at += blockDim.x) {
    float2 value = scores[at];
    // Of f32 libtorch has its own attention.
    unsigned low = to_half(__expf(scale * (value.x - largest)) * factor);
    out[at] = low | ((unsigned)to_half(__expf(scale * (value.y - largest)) * factor) << 16);
  }
}
