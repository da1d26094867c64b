//===- Link.cpp - objects to archives and shared libraries ----------------===//
//
// Both carry the runtime, so that one file is all that an app needs.
//
//===----------------------------------------------------------------------===//
#include "Verbs.h"
#include "support/FileIO.h"
#include "llvm/Object/Archive.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include <unistd.h>

namespace nncc {

/// Whether an object has a program for GPUs.
static bool needsCuda(const std::string &object) {
  auto file = llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(object, "object"));
  if (!file) {
    llvm::consumeError(file.takeError());
    return false;
  }
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    auto name = symbol.getName();
    if (!name)
      llvm::consumeError(name.takeError());
    else if (*name == "nncc_cuda_backend")
      return true;
  }
  return false;
}

/// The runtime beside this executable: build tree or installation.
static std::string runtimeArchive(const std::string &object) {
  char buffer[4096];
  ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer - 1);
  std::string path(buffer, length > 0 ? size_t(length) : 0);
  return path.substr(0, path.rfind('/')) + "/../lib/libnncc_rt" +
         (needsCuda(object) ? ".a" : "_cpu.a");
}

int archiveObject(const std::string &object, const std::string &name,
                  const std::string &path) {
  std::string from = runtimeArchive(object);
  auto runtime = llvm::MemoryBuffer::getFile(from);
  if (!runtime)
    return fail(exitIo, "cannot read the runtime, " + from + ": " +
                            runtime.getError().message());
  auto archive = llvm::object::Archive::create((*runtime)->getMemBufferRef());
  if (!archive) {
    llvm::consumeError(archive.takeError());
    return fail(exitIo, from + " is no archive");
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
  if (!result)
    return fail(exitInternal, "cannot make an archive: " +
                                  llvm::toString(result.takeError()));
  return writeFile(path, (*result)->getBuffer().str());
}

int linkShared(const std::string &object, const std::string &path) {
  auto linker = llvm::sys::findProgramByName("ld.lld-22");
  if (!linker)
    linker = llvm::sys::findProgramByName("ld");
  if (!linker)
    return fail(exitIo, "no linker found: install lld-22 or binutils");
  std::string place = linkTarget(path);
  std::string base = place + ".tmp" + std::to_string(getpid());
  std::string input = base + ".o", runtime = runtimeArchive(object);
  std::string log = base + ".log", errors, text, ignored;
  // Our temporary files are nobody's business.
  auto named = [&](std::string message) {
    for (const std::string &temporary : {input, base})
      for (size_t at; (at = message.find(temporary)) != message.npos;)
        message.replace(at, temporary.size(), path);
    return message;
  };
  if (!writeAtomically(input, object, errors))
    return fail(exitIo, named(errors), path);
  std::vector<llvm::StringRef> arguments = {
      "ld", "-shared", "--gc-sections",   "--build-id=none",
      "-o", base,      "--whole-archive", input};
  if (object.compare(0, 8, "!<arch>\n") != 0) // archives carry it already
    arguments.push_back(runtime);
  arguments.insert(arguments.end(),
                   {"--no-whole-archive", "-L/lib/x86_64-linux-gnu", "-L/lib64",
                    "-l:libc.so.6"});
  // What the linker says belongs to our sentence.
  std::optional<llvm::StringRef> streams[] = {"", log, log};
  int code = llvm::sys::ExecuteAndWait(*linker, arguments, std::nullopt,
                                       streams, 0, 0, &errors);
  (void)readWhole(log, text, ignored, 1 << 20);
  unlink(input.c_str());
  unlink(log.c_str());
  if (code == 0 && rename(base.c_str(), place.c_str()) == 0)
    return exitDone;
  unlink(base.c_str());
  while (!text.empty() && text.back() == '\n')
    text.pop_back();
  return fail(exitIo, "cannot link " + path + ": " + named(errors + text),
              path);
}

} // namespace nncc
