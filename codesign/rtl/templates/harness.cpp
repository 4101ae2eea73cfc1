// Streams vectors through the simulated pipeline, one each clock, and writes what comes out.
//
// usage: simulation <inputs> <outputs>; both files hold INPUT_WORDS and OUTPUT_WORDS words of 32 bits a sample, each port
// from a new word on. ports.h, written for the design, has the functions load_inputs, store_outputs, begin and is_valid.
// The result of the vector presented in cycle t is read after the clock edge that ends cycle t + LATENCY - 1.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <type_traits>
#include <vector>

#include "Vdut.h"
#include "verilated.h"

namespace {

template <typename Port> void load(Port &port, const std::uint32_t *words, int count) {
    if constexpr (std::is_integral_v<Port>) {
        std::uint64_t value = words[0];
        if (count > 1) value |= static_cast<std::uint64_t>(words[1]) << 32;
        port = static_cast<Port>(value);
    } else {
        for (int i = 0; i < count; ++i) port[i] = words[i];
    }
}

template <typename Port> void store(const Port &port, std::uint32_t *words, int count) {
    if constexpr (std::is_integral_v<Port>) {
        const std::uint64_t value = port;
        words[0] = static_cast<std::uint32_t>(value);
        if (count > 1) words[1] = static_cast<std::uint32_t>(value >> 32);
    } else {
        for (int i = 0; i < count; ++i) words[i] = port[i];
    }
}

#include "ports.h"

}  // namespace

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    std::FILE *inputs = std::fopen(argv[1], "rb");
    std::FILE *outputs = std::fopen(argv[2], "wb");
    if (!inputs || !outputs) {
        std::perror("the vectors cannot be opened");
        return 2;
    }
    const auto context = std::make_unique<VerilatedContext>();
    const auto dut = std::make_unique<Vdut>(context.get());
    std::vector<std::uint32_t> in(INPUT_WORDS), out(OUTPUT_WORDS);
    dut->clk = 0;
    begin(*dut);
    dut->eval();  // the first evaluation sees no edge
    long cycle = 0, last_cycle = -1;  // last_cycle is known when the inputs end
    for (;; ++cycle) {
        if (last_cycle < 0) {
            if (std::fread(in.data(), sizeof(in[0]), in.size(), inputs) != in.size()) {
                last_cycle = cycle + LATENCY - 1;
                for (auto &word : in) word = ~word;  // what follows the last vector must not matter
            }
            load_inputs(*dut, in.data());
        }
        if (last_cycle >= 0 && cycle == last_cycle) break;
        dut->clk = 1;
        dut->eval();
        dut->clk = 0;
        dut->eval();
        if (cycle + 1 >= LATENCY) {
            if (!is_valid(*dut)) {
                std::fprintf(stderr, "no valid result after the latency, in cycle %ld\n", cycle);
                return 3;
            }
            store_outputs(*dut, out.data());
            if (std::fwrite(out.data(), sizeof(out[0]), out.size(), outputs) != out.size()) {
                std::perror("the results cannot be written");
                return 2;
            }
        }
    }
    dut->final();
    std::fclose(inputs);
    if (std::fclose(outputs) != 0) {
        std::perror("the results cannot be written");
        return 2;
    }
    return 0;
}
