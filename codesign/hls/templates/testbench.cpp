// Reads tb_data/tb_input_features.dat, writes what the design computes with 17 digits (enough for any double), and
// fails if a sample differs from its golden line in tb_data/tb_output_predictions.dat. The same bench serves g++,
// the vendor's C simulation and its co-simulation.
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "firmware/@TOP@.h"
#include "firmware/nnet_utils/nnet_helpers.h"

namespace nnet {
bool trace_enabled = false;
std::map<std::string, void *> *trace_outputs = NULL;
size_t trace_type_size = sizeof(double);
} // namespace nnet

static std::vector<double> numbers(const std::string &line) {
    std::vector<double> values;
    const char *at = line.c_str();
    char *end = NULL;
    for (double value = std::strtod(at, &end); end != at; value = std::strtod(at, &end)) {
        values.push_back(value);
        at = end;
    }
    return values;
}

int main() {
    std::ifstream features("tb_data/tb_input_features.dat");
    std::ifstream golden("tb_data/tb_output_predictions.dat");
#ifdef RTL_SIM
    const std::string results_path = "tb_data/rtl_cosim_results.log";
#else
    const std::string results_path = "tb_data/csim_results.log";
#endif
    std::ofstream results(results_path.c_str());
    if (!features.is_open() || !results.is_open()) {
        std::cout << "ERROR: codesign: cannot open tb_data/tb_input_features.dat or " << results_path << std::endl;
        return 2;
    }
    std::string features_line, golden_line;
    long samples = 0, compared = 0, different = 0, first = -1;
    while (std::getline(features, features_line)) {
        const std::vector<double> in = numbers(features_line);
        if (in.size() != @N_INPUTS@) {
            std::cout << "ERROR: codesign: sample " << samples << " has " << in.size() << " values, not @N_INPUTS@" << std::endl;
            return 2;
        }
        std::ostringstream line;
        line << std::setprecision(17);
@CALL@
        results << line.str();
        golden_line.clear();
        std::getline(golden, golden_line);
        const std::vector<double> expected = numbers(golden_line);
        if (!expected.empty()) {
            compared++;
            if (numbers(line.str()) != expected) {
                if (first < 0)
                    first = samples;
                different++;
            }
        }
        samples++;
        if (samples % 1000 == 0)
            std::cout << "codesign: " << samples << " samples done" << std::endl;
    }
    std::cout << "codesign: " << samples << " samples, " << compared << " compared, " << different << " differ, first "
              << first << std::endl;
    return different == 0 ? 0 : 1;
}
