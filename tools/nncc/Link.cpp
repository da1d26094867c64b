//===- Link.cpp - objects to archives and shared libraries ----------------===//
//
// Both carry the runtime, so that one file is all that an app needs.
//
//===----------------------------------------------------------------------===//
#include "Verbs.h"
#include "llvm/Object/Archive.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include <iostream>
#include <unistd.h>

namespace nncc {

/// The runtime beside this executable: build tree or installation.
static std::string runtimeArchive() {
  char buffer[4096];
  ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer - 1);
  std::string path(buffer, length > 0 ? size_t(length) : 0);
  return path.substr(0, path.rfind('/')) + "/../lib/libnncc_rt.a";
}

bool archiveObject(const std::string &object, const std::string &name,
                   const std::string &path) {
  auto runtime = llvm::MemoryBuffer::getFile(runtimeArchive());
  if (!runtime) {
    std::cerr << "nncc: cannot read " << runtimeArchive() << ": "
              << runtime.getError().message() << '\n';
    return false;
  }
  auto archive = llvm::object::Archive::create((*runtime)->getMemBufferRef());
  if (!archive) {
    llvm::consumeError(archive.takeError());
    std::cerr << "nncc: " << runtimeArchive() << " is no archive\n";
    return false;
  }
  std::vector<llvm::NewArchiveMember> members;
  members.emplace_back(llvm::MemoryBufferRef(object, name));
  llvm::Error error = llvm::Error::success();
  for (const auto &child : (*archive)->children(error)) {
    auto member = llvm::NewArchiveMember::getOldMember(child, true);
    if (member)
      members.push_back(std::move(*member));
    else
      llvm::consumeError(member.takeError());
  }
  llvm::consumeError(std::move(error));
  auto result =
      llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab,
                                 llvm::object::Archive::K_GNU, true, false);
  if (!result) {
    llvm::consumeError(result.takeError());
    return false;
  }
  return writeFile(path, (*result)->getBuffer().str());
}

bool linkShared(const std::string &object, const std::string &path) {
  auto linker = llvm::sys::findProgramByName("ld.lld-22");
  if (!linker)
    linker = llvm::sys::findProgramByName("ld");
  if (!linker) {
    std::cerr << "nncc: no linker found: install lld-22 or binutils\n";
    return false;
  }
  std::string base = path + ".tmp" + std::to_string(getpid());
  std::string input = base + ".o", runtime = runtimeArchive();
  if (!writeFile(input, object))
    return false;
  std::string errors;
  std::vector<llvm::StringRef> arguments = {
      "ld", "-shared", "--gc-sections",   "--build-id=none",
      "-o", base,      "--whole-archive", input};
  if (object.compare(0, 8, "!<arch>\n") != 0) // archives carry it already
    arguments.push_back(runtime);
  arguments.insert(arguments.end(),
                   {"--no-whole-archive", "-L/lib/x86_64-linux-gnu", "-L/lib64",
                    "-l:libm.so.6", "-l:libc.so.6"});
  int code = llvm::sys::ExecuteAndWait(*linker, arguments, std::nullopt, {}, 0,
                                       0, &errors);
  unlink(input.c_str());
  if (code == 0 && rename(base.c_str(), path.c_str()) == 0)
    return true;
  unlink(base.c_str());
  std::cerr << "nncc: cannot link " << path << ' ' << errors << '\n';
  return false;
}

} // namespace nncc
