//===- Library.cpp - compiled models in this process ----------------------===//
//
// A model is the one function NAME_model of its file. It is looked for before
// the file is loaded: loading runs code.
//
//===----------------------------------------------------------------------===//
#include "Library.h"
#include "Verbs.h"
#include "llvm/Object/ELFObjectFile.h"
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <unistd.h>

namespace nncc {

bool namesCompiled(const std::string &path) {
  return hasSuffix(path, ".so") || hasSuffix(path, ".o") ||
         hasSuffix(path, ".a");
}

int looksCompiled(const std::string &path, bool &isCompiled) {
  isCompiled = false;
  Glance glance;
  if (path == "-")
    return exitDone;
  if (int code = glanceAt(path, glance))
    return code;
  isCompiled =
      glance.kind == FileKind::shared || glance.kind == FileKind::object;
  if (isCompiled || !namesCompiled(path))
    return exitDone;
  return fail(exitRejected,
              path + " is " +
                  (glance.says.empty() ? std::string("text") : glance.says) +
                  ", not a compiled model",
              path);
}

Library::~Library() {
  if (handle)
    dlclose(handle);
}

/// The names of functions NAME_model beside the runtime, which a shared library
/// of nncc carries.
static std::vector<std::string> modelSymbols(const std::string &path) {
  std::vector<std::string> names;
  bool hasRuntime = false;
  auto binary = llvm::object::createBinary(path);
  if (!binary) {
    llvm::consumeError(binary.takeError());
    return names;
  }
  auto *elf =
      llvm::dyn_cast<llvm::object::ELFObjectFileBase>(binary->getBinary());
  if (!elf)
    return names;
  for (const auto &symbol : elf->getDynamicSymbolIterators()) {
    auto name = symbol.getName();
    if (!name) {
      llvm::consumeError(name.takeError());
      continue;
    }
    hasRuntime = hasRuntime || *name == "nncc_context_create";
    auto flags = symbol.getFlags();
    bool isDefined = flags && !(*flags & llvm::object::SymbolRef::SF_Undefined);
    if (!flags)
      llvm::consumeError(flags.takeError());
    if (name->ends_with("_model") && !name->starts_with("nncc_") && isDefined &&
        symbol.getELFType() == llvm::ELF::STT_FUNC)
      names.push_back(name->str());
  }
  if (!hasRuntime)
    names.clear();
  return names;
}

int Library::load(const std::string &path, const std::string &shown) {
  std::vector<std::string> symbols = modelSymbols(path);
  if (symbols.empty())
    return fail(exitRejected,
                shown + " is no compiled model: nncc did not write it, or it "
                        "is damaged",
                shown);
  if (symbols.size() > 1)
    return fail(exitRejected,
                shown + " holds several models: " + listOf(symbols), shown);
  bool hasFolder = path.find('/') != std::string::npos;
  handle =
      dlopen(((hasFolder ? "" : "./") + path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return fail(exitIo, "cannot load " + shown + ": " + dlerror(), shown);
  auto *get = reinterpret_cast<const nncc_model *(*)()>(
      dlsym(handle, symbols.front().c_str()));
  model = get();
  if (model->abi_version == NNCC_ABI_VERSION)
    return exitDone;
  return fail(exitUnsupported,
              shown + " has ABI version " + std::to_string(model->abi_version) +
                  ", this nncc " + std::to_string(NNCC_ABI_VERSION) +
                  ": compile the model again",
              shown);
}

int Library::link(const std::string &object, const std::string &shown) {
  std::error_code problem;
  std::string parent = std::filesystem::temp_directory_path(problem).string();
  if (problem)
    return fail(exitIo, "the folder for temporary files, $TMPDIR, is none");
  std::string folder = parent + "/nncc.XXXXXX";
  if (!mkdtemp(folder.data()))
    return fail(exitIo,
                "cannot make a folder in " + parent + ": " + strerror(errno));
  std::string path = folder + "/model.so";
  int code = linkShared(object, path);
  if (!code)
    code = load(path, shown);
  unlink(path.c_str());
  rmdir(folder.c_str());
  return code;
}

int Library::openObject(const std::string &object) {
  return link(object, "the linked model");
}

int Library::open(const std::string &path) {
  Glance glance;
  if (int code = glanceAt(path, glance))
    return code;
  if (glance.kind == FileKind::shared)
    return load(path, path);
  std::string bytes;
  if (int code = readText(path, bytes))
    return code;
  return link(bytes, path);
}

} // namespace nncc
