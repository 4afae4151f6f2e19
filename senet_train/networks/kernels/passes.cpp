// The passes over activations that BatchNorm, a gate, the addition and ReLU need together: two
// forward (moments, scale), two back (sums, combine); and the small sums over a batch between them
// (settle, finish). folded.py has the equations.
//
// Maps are channels-last: (N, P, C) in memory, P pixels an image, C channels. Each pass reads a map
// once. A sum belongs to one (image, channel) and is made by one thread in one order, so results do
// not depend on the number of threads; it is a double for double maps, else a float. A table's
// `stride` says whether it is (N, C), then C, or (C,) and the same for all images, then 0. Batch
// sums are doubles.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

constexpr int LANES = 16;
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef double Doubles __attribute__((vector_size(8 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

struct bfloat16 {
    uint16_t bits;
};

template <class T> struct Arithmetic {
    typedef float scalar;
    typedef Floats vector;
};
template <> struct Arithmetic<double> {
    typedef double scalar;
    typedef Doubles vector;
};
template <class T> using Scalar = typename Arithmetic<T>::scalar;
template <class T> using Vector = typename Arithmetic<T>::vector;

// A count of lanes is All, known when this is compiled, or an int for the last few channels.
typedef std::integral_constant<int, LANES> All;

template <class T, class Count> inline Vector<T> load(const T* from, Count count) {
    Vector<T> lanes = {};
    std::memcpy(&lanes, from, count * sizeof(T));
    return lanes;
}

template <class Count> inline Floats load(const bfloat16* from, Count count) {
    Halves halves = {};
    std::memcpy(&halves, from, count * sizeof(bfloat16));
    return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

template <class T, class Count> inline void store(T* to, Vector<T> lanes, Count count) {
    std::memcpy(to, &lanes, count * sizeof(T));
}

template <class Count> inline void store(bfloat16* to, Floats lanes, Count count) {
    Words bits = (Words)lanes;
    Words nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // ties to even
    Words quiet = (bits >> 16) | 0x40;                           // a NaN stays one
    Halves halves = __builtin_convertvector(lanes == lanes ? nearest : quiet, Halves);
    std::memcpy(to, &halves, count * sizeof(bfloat16));
}

template <class V> inline V relu(V x) { return x < 0 ? V{} : x; }  // NaN stays NaN

struct Shape {
    int64_t images, pixels, channels;
    int threads;
};

// body(channel, count) for every LANES channels.
template <class Body> inline void each_channel(const Shape& shape, Body body) {
    int64_t c = 0;
    for (; c + LANES <= shape.channels; c += LANES) body(c, All());
    if (c < shape.channels) body(c, int(shape.channels - c));
}

// body(image, channel, count) for every image and every LANES channels.
template <class Body> inline void each(const Shape& shape, Body body) {
#pragma omp parallel for num_threads(shape.threads) schedule(static)
    for (int64_t n = 0; n < shape.images; n++) {
        each_channel(shape, [=](int64_t c, auto count) { body(n, c, count); });
    }
}

inline Doubles wide(Floats x) { return __builtin_convertvector(x, Doubles); }
inline Doubles wide(Doubles x) { return x; }
template <class T> inline Vector<T> narrow(Doubles x) {
    return __builtin_convertvector(x, Vector<T>);
}

inline Doubles inverse_root(Doubles x) {
    for (int i = 0; i < LANES; i++) x[i] = 1 / std::sqrt(x[i]);
    return x;
}

// Move running statistics towards those of a batch.
template <class T, class Count>
inline void follow(Scalar<T>* running, Doubles batch, double momentum, Count count) {
    const Doubles old = wide(load(running, count));
    store(running, narrow<T>(old + momentum * (batch - old)), count);
}

constexpr int64_t BLOCK = 64;  // pixels whose sums a float can hold

// Sums of differences: nothing cancels where the mean is large. In each block they are to the mean
// of the one before, so that an odd first pixel costs no digits; doubles hold the whole.
template <class T>
void moments(const T* map, Scalar<T>* mean, Scalar<T>* variance, const Shape& shape) {
    each(shape, [=](int64_t n, int64_t c, auto count) {
        const T* y = map + n * shape.pixels * shape.channels + c;
        Vector<T> middle = load(y, count);
        const Doubles origin = wide(middle);
        Doubles sum = {}, squares = {};  // of differences to the origin
        for (int64_t left = shape.pixels; left > 0; left -= BLOCK) {
            const int64_t size = left < BLOCK ? left : BLOCK;
            Vector<T> own = {}, own_squares = {};
            for (int64_t p = 0; p < size; p++, y += shape.channels) {
                Vector<T> d = load(y, count) - middle;
                own += d;
                own_squares += d * d;
            }
            const Doubles moved = wide(middle) - origin, part = wide(own);
            sum += part + double(size) * moved;
            squares += wide(own_squares) + moved * (2 * part + double(size) * moved);
            middle += own / Scalar<T>(size);
        }
        const Doubles offset = sum / double(shape.pixels);
        Doubles spread = squares / double(shape.pixels) - offset * offset;
        spread = spread < 0 ? Doubles{} : spread;  // NaN stays NaN
        const int64_t i = n * shape.channels + c;
        store(mean + i, narrow<T>(origin + offset), count);
        store(variance + i, narrow<T>(spread), count);
    });
}

// The batch's statistics from those of its images, and the running ones moved towards them; the
// squeeze z and zhat of every image if asked for.
template <class T>
void settle(const Scalar<T>* mean, const Scalar<T>* variance, const Scalar<T>* weight,
            const Scalar<T>* bias, double eps, double momentum, Scalar<T>* running_mean,
            Scalar<T>* running_variance, Scalar<T>* centre, Scalar<T>* inv, Scalar<T>* slope,
            Scalar<T>* level, Scalar<T>* zhat, Scalar<T>* z, const Shape& shape) {
    const double images = shape.images, count = images * shape.pixels;
    each_channel(shape, [=](int64_t c, auto lanes) {
        const int64_t C = shape.channels, end = shape.images * C;
        Doubles sum = {}, squares = {};
        for (int64_t i = c; i < end; i += C) sum += wide(load(mean + i, lanes));
        const Doubles mu = sum / images;
        for (int64_t i = c; i < end; i += C) {
            Doubles d = wide(load(mean + i, lanes)) - mu;
            squares += wide(load(variance + i, lanes)) + d * d;
        }
        const Doubles var = squares / images;
        follow<T>(running_mean + c, mu, momentum, lanes);
        follow<T>(running_variance + c, var * (count / (count - 1)), momentum, lanes);
        const Vector<T> gamma = load(weight + c, lanes), beta = load(bias + c, lanes);
        const Vector<T> m = narrow<T>(mu), own = narrow<T>(inverse_root(var + eps));
        store(centre + c, m, lanes);
        store(inv + c, own, lanes);
        store(slope + c, gamma * own, lanes);
        store(level + c, beta - gamma * own * m, lanes);
        if (!z) return;
        for (int64_t i = c; i < end; i += C) {
            Vector<T> normal = (load(mean + i, lanes) - m) * own;
            store(zhat + i, normal, lanes);
            store(z + i, gamma * normal + beta, lanes);
        }
    });
}

// out = a y + b, + shortcut if ADD, negative values to 0 if RELU
template <class T, bool ADD, bool RELU>
void scale(const T* y, const Scalar<T>* a, const Scalar<T>* b, int64_t stride, const T* shortcut,
           T* out, const Shape& shape) {
    each(shape, [=](int64_t n, int64_t c, auto count) {
        Vector<T> slope = load(a + n * stride + c, count), level = load(b + n * stride + c, count);
        int64_t i = n * shape.pixels * shape.channels + c;
        for (int64_t p = 0; p < shape.pixels; p++, i += shape.channels) {
            Vector<T> x = slope * load(y + i, count) + level;
            if (ADD) x += load(shortcut + i, count);
            store(out + i, RELU ? relu(x) : x, count);
        }
    });
}

// The gradient before the ReLU: where `scale` gave a positive number. It is `out` that tells, or
// without a shortcut a y + b, which spares reading it.
template <class T, bool ADD, bool RELU> struct Masked {
    const T *dout, *y, *out;
    Vector<T> slope, level;
    template <class Count> Vector<T> operator()(int64_t i, Count count) const {
        Vector<T> g = load(dout + i, count);
        if (!RELU) return g;
        return (ADD ? load(out + i, count) : slope * load(y + i, count) + level) > 0 ? g : Vector<T>{};
    }
};

// g = dout where positive (stored if ADD and RELU); A = sum g; B = sum g inv (y - centre)
template <class T, bool ADD, bool RELU>
void sums(const T* dout, const T* y, const T* out, const Scalar<T>* a, const Scalar<T>* b,
          int64_t stride, const Scalar<T>* centre, const Scalar<T>* inv, T* g, Scalar<T>* A,
          Scalar<T>* B, const Shape& shape) {
    each(shape, [=](int64_t n, int64_t c, auto count) {
        Masked<T, ADD, RELU> masked{dout, y, out, load(a + n * stride + c, count),
                                    load(b + n * stride + c, count)};
        Vector<T> middle = load(centre + c, count), sum = {}, products = {};
        int64_t i = n * shape.pixels * shape.channels + c;
        for (int64_t p = 0; p < shape.pixels; p++, i += shape.channels) {
            Vector<T> own = masked(i, count);
            if (ADD && RELU) store(g + i, own, count);
            sum += own;
            products += own * (load(y + i, count) - middle);
        }
        store(A + n * shape.channels + c, sum, count);
        store(B + n * shape.channels + c, products * load(inv + c, count), count);
    });
}

// The gradients of the norm's weight and bias, and with them r and q of `combine`. Without a gate
// s, dz and zhat are null and r is (C,).
template <class T>
void finish(const Scalar<T>* A, const Scalar<T>* B, const Scalar<T>* s, const Scalar<T>* dz,
            const Scalar<T>* zhat, const Scalar<T>* slope, const Scalar<T>* inv, bool training,
            Scalar<T>* dweight, Scalar<T>* dbias, Scalar<T>* r, Scalar<T>* q, const Shape& shape) {
    const double count = double(shape.images) * shape.pixels;
    each_channel(shape, [=](int64_t c, auto lanes) {
        const int64_t C = shape.channels, end = shape.images * C;
        Doubles sum = {}, products = {};
        for (int64_t i = c; i < end; i += C) {
            Vector<T> a = load(A + i, lanes), b = load(B + i, lanes);
            if (s) {
                const Vector<T> gate = load(s + i, lanes), back = load(dz + i, lanes);
                a = gate * a + back;
                b = gate * b + load(zhat + i, lanes) * back;
            }
            sum += wide(a);
            products += wide(b);
        }
        store(dbias + c, narrow<T>(sum), lanes);
        store(dweight + c, narrow<T>(products), lanes);
        const double part = training ? 1 / count : 0;  // running statistics pull on nothing
        const Vector<T> gain = load(slope + c, lanes), share = gain * narrow<T>(sum * part);
        store(q + c, -gain * load(inv + c, lanes) * narrow<T>(products * part), lanes);
        if (!s) return store(r + c, -share, lanes);
        for (int64_t i = c; i < end; i += C) {
            store(r + i, gain * load(dz + i, lanes) / Scalar<T>(shape.pixels) - share, lanes);
        }
    });
}

// dy = a g + q (y - centre) + r; g is masked again if it was not stored
template <class T, bool RELU>
void combine(const T* g, const T* y, const Scalar<T>* a, const Scalar<T>* b, const Scalar<T>* r,
             int64_t stride, const Scalar<T>* q, const Scalar<T>* centre, T* dy,
             const Shape& shape) {
    each(shape, [=](int64_t n, int64_t c, auto count) {
        int64_t row = n * stride + c;
        Vector<T> slope = load(a + row, count), level = load(r + row, count);
        Vector<T> pull = load(q + c, count), middle = load(centre + c, count);
        Masked<T, false, RELU> masked{g, y, nullptr, slope, load(b + row, count)};
        int64_t i = n * shape.pixels * shape.channels + c;
        for (int64_t p = 0; p < shape.pixels; p++, i += shape.channels) {
            Vector<T> d = load(y + i, count) - middle;
            store(dy + i, slope * masked(i, count) + pull * d + level, count);
        }
    });
}

}  // namespace

// One set of C functions for each number type. `shortcut` or `out` may be null: then nothing is
// added, and the mask is found without it.
#define DEFINE(SUFFIX, T)                                                                          \
    extern "C" void moments_##SUFFIX(const T* y, Scalar<T>* mean, Scalar<T>* variance,             \
                                     const Shape* shape) {                                         \
        moments(y, mean, variance, *shape);                                                        \
    }                                                                                              \
    extern "C" void settle_##SUFFIX(                                                               \
        const Scalar<T>* mean, const Scalar<T>* variance, const Scalar<T>* weight,                 \
        const Scalar<T>* bias, double eps, double momentum, Scalar<T>* running_mean,               \
        Scalar<T>* running_variance, Scalar<T>* centre, Scalar<T>* inv, Scalar<T>* slope,          \
        Scalar<T>* level, Scalar<T>* zhat, Scalar<T>* z, const Shape* shape) {                     \
        settle<T>(mean, variance, weight, bias, eps, momentum, running_mean, running_variance,     \
                  centre, inv, slope, level, zhat, z, *shape);                                     \
    }                                                                                              \
    extern "C" void finish_##SUFFIX(const Scalar<T>* A, const Scalar<T>* B, const Scalar<T>* s,    \
                                    const Scalar<T>* dz, const Scalar<T>* zhat,                    \
                                    const Scalar<T>* slope, const Scalar<T>* inv,                  \
                                    int64_t training, Scalar<T>* dweight, Scalar<T>* dbias,        \
                                    Scalar<T>* r, Scalar<T>* q, const Shape* shape) {              \
        finish<T>(A, B, s, dz, zhat, slope, inv, training, dweight, dbias, r, q, *shape);          \
    }                                                                                              \
    extern "C" void scale_##SUFFIX(const T* y, const Scalar<T>* a, const Scalar<T>* b,             \
                                   int64_t stride, const T* shortcut, int64_t relu, T* out,            \
                                   const Shape* shape) {                                           \
        auto pass = shortcut ? (relu ? scale<T, true, true> : scale<T, true, false>)               \
                             : (relu ? scale<T, false, true> : scale<T, false, false>);            \
        pass(y, a, b, stride, shortcut, out, *shape);                                              \
    }                                                                                              \
    extern "C" void sums_##SUFFIX(const T* dout, const T* y, const T* out, const Scalar<T>* a,     \
                                  const Scalar<T>* b, int64_t stride, const Scalar<T>* centre,     \
                                  const Scalar<T>* inv, int64_t relu, T* g, Scalar<T>* A,          \
                                  Scalar<T>* B, const Shape* shape) {                              \
        auto pass = out ? (relu ? sums<T, true, true> : sums<T, true, false>)                      \
                        : (relu ? sums<T, false, true> : sums<T, false, false>);                   \
        pass(dout, y, out, a, b, stride, centre, inv, g, A, B, *shape);                                 \
    }                                                                                              \
    extern "C" void combine_##SUFFIX(const T* g, const T* y, const Scalar<T>* a,                   \
                                     const Scalar<T>* b, const Scalar<T>* r, int64_t stride,       \
                                     const Scalar<T>* q, const Scalar<T>* centre, int64_t mask,    \
                                     T* dy, const Shape* shape) {                                  \
        auto pass = mask ? combine<T, true> : combine<T, false>;                                   \
        pass(g, y, a, b, r, stride, q, centre, dy, *shape);                                        \
    }

DEFINE(bfloat16, bfloat16)
DEFINE(float32, float)
DEFINE(float64, double)
