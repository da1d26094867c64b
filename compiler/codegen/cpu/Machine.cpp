//===- Machine.cpp - facts about an x86-64 CPU ----------------------------===//
//
// x86-64 by way of LLVM's subtarget tables; cache sizes from the host when
// compiling for it, else those of a small current core.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/Machine.h"
#include "runtime/abi.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"
#include "llvm/TargetParser/Triple.h"
#include <memory>
#include <unistd.h>

namespace nncc {

static constexpr const char *triple = "x86_64-unknown-linux-gnu";

static const llvm::Target *x86Target() {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  std::string error;
  return llvm::TargetRegistry::lookupTarget(llvm::Triple(triple), error);
}

/// Instructions that LLVM would choose and that no check at load looks for.
static constexpr const char *unused[] = {
    "avx512bf16", "avx512bitalg", "avx512fp16", "avx512ifma", "avx512vbmi",
    "avx512vbmi2", "avx512vnni", "avx512vp2intersect", "avx512vpopcntdq",
    "avx10.1", "avx10.2", "avxifma", "avxneconvert", "avxvnni", "avxvnniint16",
    "avxvnniint8", "gfni", "vaes", "vpclmulqdq", "fma4", "lwp", "sse4a", "tbm",
    "xop", "cmpccxadd", "movrs",
    // APX: registers and forms of instructions.
    "ccmp", "cf", "egpr", "ndd", "nf", "ppx", "push2pop2", "zu"};

bool isCpuTriple(llvm::StringRef text) {
  llvm::Triple asked(llvm::Triple::normalize(text));
  // Not x32, whose pointers have four bytes, nor Android's C library.
  return asked.getArch() == llvm::Triple::x86_64 && asked.isOSLinux() &&
         !asked.isX32() && !asked.isAndroid();
}

/// What the runtime can look for, by LLVM's names.
static constexpr std::pair<const char *, uint64_t> runtimeFeatures[] = {
    {"sse4.2", NNCC_CPU_SSE42},      {"avx", NNCC_CPU_AVX},
    {"avx2", NNCC_CPU_AVX2},         {"fma", NNCC_CPU_FMA},
    {"f16c", NNCC_CPU_F16C},         {"bmi2", NNCC_CPU_BMI2},
    {"avx512f", NNCC_CPU_AVX512F},   {"avx512vl", NNCC_CPU_AVX512VL},
    {"avx512bw", NNCC_CPU_AVX512BW}, {"avx512dq", NNCC_CPU_AVX512DQ}};

bool lookupCpu(llvm::StringRef cpu, TargetInfo &info, std::string &error) {
  const llvm::Target *target = x86Target();
  bool native = cpu == "native";
  info.triple = triple;
  info.cpu = native ? llvm::sys::getHostCPUName().str() : cpu.str();

  // A virtual machine may hide features that its CPU's name implies.
  llvm::SubtargetFeatures features;
  if (native)
    for (const auto &feature : llvm::sys::getHostCPUFeatures())
      features.AddFeature(feature.first(), feature.second);
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget(
      target->createMCSubtargetInfo(llvm::Triple(triple), "", ""));
  if (!subtarget->isCPUStringValid(info.cpu)) {
    std::vector<llvm::StringRef> known = {"native"};
    for (const auto &processor : subtarget->getAllProcessorDescriptions())
      known.push_back(processor.Key);
    error = "nncc: unknown CPU \"" + info.cpu + "\"" +
            didYouMean(info.cpu, known) +
            " (native, x86-64, x86-64-v2, x86-64-v3, x86-64-v4 and the names "
            "of clang's -mcpu= are known)\n";
    return false;
  }
  for (const char *feature : unused)
    features.AddFeature(feature, false);
  subtarget.reset(target->createMCSubtargetInfo(llvm::Triple(triple), info.cpu,
                                                features.getString()));
  auto has = [&](const char *feature) {
    return subtarget->checkFeatures(std::string("+") + feature);
  };
  if (!has("64bit")) {
    error = "nncc: the CPU \"" + info.cpu + "\" has no 64-bit code\n";
    return false;
  }
  info.features = features.getString();
  info.hasFma = has("fma");
  info.hasFloor = has("sse4.1");
  info.convertsF16 = has("f16c");
  for (auto [name, bit] : runtimeFeatures)
    if (has(name))
      info.requiredFeatures |= bit;
  if (has("avx512f") && has("avx512vl") && has("avx512dq")) {
    info.vectorBytes = 64;
    info.registers = 32;
    info.panelVectors = 4;
    info.attributes = {{"prefer-vector-width", "512"}};
  } else if (has("avx2") && info.hasFma) {
    info.vectorBytes = 32;
  }
  if (native)
    if (long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0)
      info.cacheBytes = bytes;
  return true;
}

} // namespace nncc
