//===- Device.cpp - where a verb runs its model ---------------------------===//
#include "Device.h"
#include "Session.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

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

/// What to compile for on that GPU; the runtime's or our own sentence.
static int findArchitecture(uint32_t number, std::string &architecture,
                            bool isSilent) {
  nncc_device_facts facts;
  nncc_status status = nncc_device_info(NNCC_CUDA, number, &facts);
  architecture = status ? "" : architectureFor(facts.sm);
  if (!architecture.empty())
    return exitDone;
  if (isSilent)
    return exitUnsupported;
  if (status)
    return reportRuntime(status);
  return fail(exitUnsupported, std::string("there is no code generator for ") +
                                   facts.name + ", compute capability " +
                                   std::to_string(facts.sm / 10) + "." +
                                   std::to_string(facts.sm % 10));
}

int DeviceFlag::compileFor(CompileOptions &options) {
  if (device == NNCC_CPU)
    return exitDone;
  std::string architecture;
  if (int code = findArchitecture(number, architecture, device == NNCC_AUTO)) {
    if (device != NNCC_AUTO)
      return code;
    device = NNCC_CPU;
    return exitDone;
  }
  device = NNCC_CUDA;
  options.target = "cuda:" + architecture;
  options.deviceOnly = true;
  return exitDone;
}

int resolveTarget(std::string &target) {
  llvm::StringRef list(target);
  llvm::SmallVector<llvm::StringRef> words;
  if (list.consume_front("cuda:"))
    list.split(words, ',');
  if (!llvm::is_contained(words, "native"))
    return exitDone;
  if (words.size() > 1)
    return fail(exitUsage, "native stands alone in --target");
  std::vector<std::string> names;
  nncc_device_facts facts;
  for (uint32_t n = 0; !nncc_device_info(NNCC_CUDA, n, &facts); ++n) {
    std::string name = architectureFor(facts.sm);
    if (!name.empty() && !llvm::is_contained(names, name))
      names.push_back(name);
  }
  if (std::string ignored; names.empty())
    return findArchitecture(0, ignored, false); // says why
  target = "cuda:" + llvm::join(names, ",");
  return exitDone;
}

void DeviceFlag::fill(nncc_options &options) const {
  options.device = device;
  options.device_number = number;
}

} // namespace nncc
