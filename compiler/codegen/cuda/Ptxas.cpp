//===- Ptxas.cpp - PTX to cubins by the CUDA Toolkit's assembler ----------===//
#include "codegen/cuda/CudaKernels.h"
#include "support/FileIO.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

namespace nncc {

std::string findPtxas() {
  llvm::SmallVector<std::string> folders;
  if (const char *home = getenv("CUDA_HOME"))
    folders.push_back(std::string(home) + "/bin");
  for (const std::string &folder : folders)
    if (auto path = llvm::sys::findProgramByName("ptxas", {folder}))
      return *path;
  auto path = llvm::sys::findProgramByName("ptxas");
  return path ? *path : "";
}

/// The number before ` what` in a line of ptxas -v; 0 if it says none.
static int64_t numberBefore(llvm::StringRef log, llvm::StringRef what) {
  llvm::StringRef before = log.substr(0, log.find((" " + what).str()));
  if (before.size() == log.size())
    return 0;
  int64_t number = 0;
  before.substr(before.find_last_not_of("0123456789") + 1)
      .getAsInteger(10, number);
  return number;
}

bool assemble(const std::string &ptxas, const std::string &ptx,
              const TargetInfo &target, std::string &cubin, KernelUsage &usage,
              std::string &error) {
  llvm::SmallString<128> paths[3];
  const char *suffixes[] = {"ptx", "cubin", "log"};
  std::vector<std::unique_ptr<llvm::FileRemover>> removers;
  for (auto [path, suffix] : llvm::zip_equal(paths, suffixes)) {
    if (auto problem =
            llvm::sys::fs::createTemporaryFile("nncc", suffix, path)) {
      llvm::sys::path::system_temp_directory(true, path);
      error = "cannot make a temporary file in " + path.str().str() + ": " +
              problem.message();
      return false;
    }
    removers.push_back(std::make_unique<llvm::FileRemover>(path));
  }
  std::string in = paths[0].str().str(), out = paths[1].str().str(),
              log = paths[2].str().str(), text, ignored;
  if (!writeAtomically(in, ptx, error))
    return false;
  std::string architecture = "-arch=" + target.cpu;
  std::optional<llvm::StringRef> streams[] = {"", log, log};
  int code = llvm::sys::ExecuteAndWait(
      ptxas, {ptxas, "-v", architecture, in, "-o", out}, std::nullopt, streams,
      0, 0, &error);
  (void)readWhole(log, text, ignored, 1 << 20);
  if (!error.empty()) { // it did not start, or a signal ended it
    error = ptxas + ": " + error;
    return false;
  }
  if (code != 0) {
    error = llvm::StringRef(text).rtrim().str();
    if (error.empty())
      error = ptxas + " failed with code " + std::to_string(code) +
              " and says nothing";
    for (size_t at; (at = error.find(in)) != error.npos;)
      error.replace(at, in.size(), "the PTX");
    return false;
  }
  if (!readWhole(out, cubin, ignored) ||
      !llvm::StringRef(cubin).starts_with("\177ELF")) {
    error = ptxas + " made no cubin";
    return false;
  }
  usage = {numberBefore(text, "registers"),
           numberBefore(text, "bytes stack frame"),
           numberBefore(text, "bytes spill stores") +
               numberBefore(text, "bytes spill loads")};
  return true;
}

} // namespace nncc
