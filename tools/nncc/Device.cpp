//===- Device.cpp - where a verb runs its model ---------------------------===//
#include "Device.h"
#include "Session.h"

namespace nncc {

void DeviceFlag::addTo(Verb &verb) {
  verb.add({{"--device"},
            "DEVICE",
            "cpu, cuda, cuda:1 (the second GPU), auto (cpu)",
            [this](const std::string &text) -> std::string {
              const char *expected =
                  "expected cpu, cuda, cuda:NUMBER or auto, a GPU if there is "
                  "one that fits";
              size_t colon = text.find(':');
              std::string name = text.substr(0, colon);
              device = name == "cuda" ? NNCC_CUDA : NNCC_CPU;
              if (colon == text.npos) {
                if (text == "auto")
                  device = NNCC_AUTO;
                return text == "cpu" || device != NNCC_CPU ? "" : expected;
              }
              auto which = wholeNumber(text.substr(colon + 1));
              number = uint32_t(which.value_or(0));
              return device == NNCC_CUDA && which && *which < 1024 ? ""
                                                                   : expected;
            }});
}

int DeviceFlag::compileFor(CompileOptions &options) {
  if (device == NNCC_CPU)
    return exitDone;
  nncc_device_facts facts;
  nncc_status status = nncc_device_info(NNCC_CUDA, number, &facts);
  std::string architecture = status ? "" : architectureFor(facts.sm);
  if (device == NNCC_AUTO && architecture.empty()) {
    device = NNCC_CPU;
    return exitDone;
  }
  if (status)
    return reportRuntime(status);
  if (architecture.empty())
    return fail(exitUnsupported,
                std::string("there is no code generator for ") + facts.name +
                    ", compute capability " + std::to_string(facts.sm / 10) +
                    "." + std::to_string(facts.sm % 10));
  device = NNCC_CUDA;
  options.target = "cuda:" + architecture;
  options.deviceOnly = true;
  return exitDone;
}

void DeviceFlag::fill(nncc_options &options) const {
  options.device = device;
  options.device_number = number;
}

} // namespace nncc
