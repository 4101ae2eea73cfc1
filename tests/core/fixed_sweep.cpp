// Assign values to ap_fixed types of every mode and write the codes: FORMATS lists the types (see the test).
//   sweep SOURCE RESULT
// SOURCE holds, for each format in order, a count (int64) and that many doubles; each is assigned as a double, and by
// way of a wider ap_fixed. RESULT gets, for each format and each pair of modes, two int64 a value.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ap_fixed.h"

static FILE *source, *result;

template <class Target> static int64_t code(const Target &value) {
    ap_int<64> bits = 0;
    bits.range(Target::width - 1, 0) = value.range(Target::width - 1, 0);
    return bits.to_int64(); // the raw bits, not yet sign-extended
}

template <class Target, class Wide> static void assign(const std::vector<double> &values) {
    std::vector<int64_t> codes;
    codes.reserve(2 * values.size());
    for (double value : values) {
        Target direct(value);
        Wide wide(value);
        Target copied = wide;
        codes.push_back(code(direct));
        codes.push_back(code(copied));
    }
    fwrite(codes.data(), sizeof(int64_t), codes.size(), result);
}

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, class Wide> struct Type {
    typedef ap_fixed<W, I, Q, O, N> type;
};
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N, class Wide> struct Type<W, I, false, Q, O, N, Wide> {
    typedef ap_ufixed<W, I, Q, O, N> type;
};

template <int W, int I, bool S, ap_o_mode O, int N, class Wide> static void roundings(const std::vector<double> &values) {
    assign<typename Type<W, I, S, AP_RND, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_RND_ZERO, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_RND_MIN_INF, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_RND_INF, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_RND_CONV, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_TRN, O, N, Wide>::type, Wide>(values);
    assign<typename Type<W, I, S, AP_TRN_ZERO, O, N, Wide>::type, Wide>(values);
}

template <int W, int I, bool S, int N, int WIDE, int WIDE_I> static void format() {
    typedef ap_fixed<WIDE, WIDE_I> Wide;
    int64_t count = 0;
    if (fread(&count, sizeof count, 1, source) != 1) exit(2);
    std::vector<double> values(count);
    if (fread(values.data(), sizeof(double), count, source) != size_t(count)) exit(2);
    if constexpr (N == 0) {
        roundings<W, I, S, AP_SAT, 0, Wide>(values);
        roundings<W, I, S, AP_SAT_ZERO, 0, Wide>(values);
        if constexpr (W > 1 || !S) roundings<W, I, S, AP_SAT_SYM, 0, Wide>(values);
    }
    roundings<W, I, S, AP_WRAP, N, Wide>(values);
    if constexpr (S) roundings<W, I, S, AP_WRAP_SM, N, Wide>(values);
}

int main(int count, char **words) {
    if (count != 3) return 2;
    source = fopen(words[1], "rb");
    result = fopen(words[2], "wb");
    if (!source || !result) return 2;
#define FORMAT(W, I, S, N, WIDE, WIDE_I) format<W, I, S, N, WIDE, WIDE_I>();
    FORMATS
    return fclose(result) ? 2 : 0;
}
