//===- Compiler.cpp - the compiler as a library ---------------------------===//
#include "Compiler.h"
#include "Schedules.h"
#include "Targets.h"
#include "WrongPass.h"
#include "codegen/Abi.h"
#include "codegen/Header.h"
#include "codegen/JoinObjects.h"
#include "codegen/Pipelines.h"
#include "codegen/Report.h"
#include "codegen/kernels/LowerKernels.h"
#include "dialect/Expr.h"
#include "dialect/Names.h"
#include "dialect/Place.h"
#include "frontend/Importer.h"
#include "frontend/Schema.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace nncc {

namespace {

/// The bytes that a process can have on x86-64.
constexpr int64_t addressable = int64_t(1) << 47;

class Compilation {
public:
  Compilation(const std::string &file, const std::string &text,
              const CompileOptions &options)
      : options(options), compiling(file), diagnostics(file, text), text(text),
        context(MLIRContext::Threading::DISABLED) {
    context.loadDialect<arith::ArithDialect, cf::ControlFlowDialect,
                        LLVM::LLVMDialect, math::MathDialect,
                        memref::MemRefDialect, scf::SCFDialect,
                        vector::VectorDialect>();
    context.getDiagEngine().registerHandler([&](Diagnostic &diagnostic) {
      if (isLimit(diagnostic)) {
        limit(spanOf(diagnostic.getLocation()), diagnostic.str());
        return;
      }
      bool isError = diagnostic.getSeverity() == DiagnosticSeverity::Error;
      llvm::raw_string_ostream(result.messages)
          << (isError ? "nncc: internal: " : "nncc: warning: ") << diagnostic
          << '\n';
    });
  }

  CompileResult run(Stage stage) {
    if (Status status = choose(stage); status != Status::done)
      return end(status);
    report("reading the model");
    ScheduleTable schedules;
    if (!parseSchedules(schedules))
      return end(Status::rejected);
    OwningOpRef<ModuleOp> model =
        importModel(text, options.dims, options.entries, &context, diagnostics);
    tell(diagnostics);
    if (!model)
      return end(Status::rejected);
    if (!options.name.empty())
      model.get()->setAttr(modelNameAttr,
                           StringAttr::get(&context, options.name));
    result.modelName =
        model.get()->getAttrOfType<StringAttr>(modelNameAttr).str();
    if (failed(verify(*model)))
      return end(Status::internal);
    if (stage == Stage::graph) {
      result.output = graphOf(*model);
      return end(Status::done);
    }
    if (stage == Stage::nncc)
      return print(*model);

    report("forming kernels");
    PassManager common(&context);
    populateCommonPipeline(common);
    injectWrongPass(common, options.wrongPass);
    if (failed(common.run(*model)))
      return end(status(Status::internal));
    for (Program &program : programs)
      if (Status status = formKernels(program, *model, schedules);
          status != Status::done)
        return end(status);
    if (!fitSchedules())
      return end(Status::rejected);
    const Program &shown = programs.back();
    if (stage == Stage::kernels)
      return print(*shown.model);

    report("writing loops and vectors");
    for (Program &program : programs) {
      auto kernels = lowerKernels(*program.model, program.facts, *program.how,
                                  options.wrongKernel);
      if (failed(kernels))
        return end(status(Status::internal));
      program.kernels = std::move(*kernels);
    }
    if (stage == Stage::linalg)
      return print(*shown.kernels);
    if (!shown.isDevice &&
        (stage == Stage::report || stage == Stage::reportJson)) {
      result.output = reportOf(*shown.model, shown.facts, nullptr,
                               stage == Stage::reportJson);
      return end(Status::done);
    }
    return end(generate(stage));
  }

private:
  /// One of those that the object holds, as far as it has come.
  struct Program : ProgramTarget {
    OwningOpRef<ModuleOp> model, kernels;
    std::unique_ptr<llvm::Module> code;
  };

  /// The programs that the stage shows: all of them in an object.
  Status choose(Stage stage) {
    std::vector<ProgramTarget> targets;
    Status status = chooseTargets(options, targets, result.messages);
    if (status != Status::done)
      return status;
    bool hasDevice = targets.back().isDevice,
         hasCpu = !targets.front().isDevice;
    if (hasCpu)
      result.cpu = targets.front().facts.cpu;
    if (stage == Stage::ptx ? !hasDevice
                            : stage == Stage::assembly && !hasCpu) {
      result.messages = stage == Stage::ptx
                            ? "nncc: --emit=ptx needs --target=cuda:sm_80\n"
                            : "nncc: there is no assembly with --device-only, "
                              "--emit=ptx is what a GPU runs\n";
      return Status::usage;
    }
    auto first = llvm::find_if(
        targets, [](const ProgramTarget &target) { return target.isDevice; });
    if (stage == Stage::ptx && targets.end() - first > 1) {
      result.messages =
          "nncc: --emit=ptx shows one architecture: --target=cuda:" +
          architectureOf(first->facts) + "\n";
      return Status::usage;
    }
    if (stage == Stage::ptx && !first->facts.sm) {
      result.messages = "nncc: the emulator runs no PTX\n";
      return Status::usage;
    }
    bool isText = stage != Stage::object;
    if (isText && hasDevice && stage != Stage::assembly)
      targets = {*first};
    else if (isText)
      targets.resize(1);
    for (ProgramTarget &target : targets)
      static_cast<ProgramTarget &>(programs.emplace_back()) = std::move(target);
    return Status::done;
  }

  Status formKernels(Program &program, ModuleOp common,
                     const ScheduleTable &schedules) {
    program.model = common.clone();
    PassManager passes(&context);
    populateKernelPipeline(passes, program.facts, *program.how, schedules,
                           options.maxArena);
    injectWrongPass(passes, options.wrongPass);
    if (failed(passes.run(*program.model)))
      return status(Status::internal);
    return fitsArena(*program.model) ? Status::done : Status::limit;
  }

  /// From loops on.
  Status generate(Stage stage) {
    report("lowering to LLVM");
    for (Program &program : programs) {
      PassManager passes(&context);
      populateLlvmPipeline(passes, options.debugLines && !program.isDevice);
      if (failed(passes.run(*program.kernels)))
        return Status::internal;
      program.code = buildLlvmModule(llvmContext, *program.kernels,
                                     program.facts, *program.how);
      if (!program.code)
        return Status::internal;
    }
    Program &first = programs.front();
    if (stage == Stage::object)
      return writeObject();
    if (first.isDevice)
      return showDevice(first, stage);
    auto groups = optimizeGroups(*first.code, first.facts);
    linkGroups(*first.code, groups);
    addDescriptor(*first.code, *first.model, &first.facts, {},
                  options.embedded);
    if (stage == Stage::llvm)
      llvm::raw_string_ostream(result.output) << *first.code;
    else
      result.output = emitCode(*first.code, first.facts, true);
    return Status::done;
  }

  std::vector<KernelGroup> optimizeGroups(llvm::Module &module,
                                          const TargetInfo &target) {
    std::vector<KernelGroup> groups = splitKernels(module, 4000);
    forEachGroup(groups, options.threads, reportKernels("optimizing"),
                 [&](llvm::Module &group, const KernelGroup &) {
                   optimize(group, target, options.level);
                   return bitcodeOf(group);
                 });
    return groups;
  }

  /// The text of a program for a GPU, in one piece; or what was made of it.
  Status showDevice(Program &program, Stage stage) {
    if (stage == Stage::llvm || stage == Stage::ptx) {
      optimize(*program.code, program.facts, options.level);
      if (stage == Stage::llvm)
        llvm::raw_string_ostream(result.output) << *program.code;
      else
        result.output = emitCode(*program.code, program.facts, true);
      return Status::done;
    }
    auto code = deviceCode(program);
    if (!code)
      return Status::unsupported;
    result.output = reportOf(*program.model, program.facts, &*code,
                             stage == Stage::reportJson);
    return Status::done;
  }

  std::optional<DeviceCode> deviceCode(Program &program) {
    std::string error, name = architectureOf(program.facts);
    std::string what = "writing code for " + name;
    auto images = options.images == "ptx"     ? DeviceImages::ptx
                  : options.images == "cubin" ? DeviceImages::cubin
                                              : DeviceImages::any;
    auto code = emitDevice(*program.code, program.facts, images, options.level,
                           options.threads, reportKernels(what), error);
    if (!code)
      result.messages += "nncc: " + name + ": " + error + "\n";
    return code;
  }

  /// Machine code of kernels, images for GPUs and the descriptor, as one
  /// object.
  Status writeObject() {
    Program &first = programs.front();
    std::vector<std::string> objects;
    TargetInfo host;
    std::unique_ptr<llvm::Module> module;
    if (first.isDevice) {
      (void)cpuTarget().lookup("x86-64", host, result.messages);
      module = std::make_unique<llvm::Module>("nncc", llvmContext);
      retarget(*module, host);
    } else {
      host = first.facts;
      module = std::move(first.code);
      auto groups = optimizeGroups(*module, host);
      forEachGroup(groups, options.threads,
                   reportKernels("writing machine code"),
                   [&](llvm::Module &group, const KernelGroup &) {
                     return emitCode(group, host, false);
                   });
      for (KernelGroup &group : groups)
        objects.push_back(std::move(group.code));
    }
    std::vector<DeviceProgram> devices;
    for (Program &program : programs) {
      if (!program.isDevice)
        continue;
      auto code = deviceCode(program);
      if (!code)
        return Status::unsupported;
      llvm::append_range(objects, std::move(code->objects));
      result.gpus.push_back(describe(program, *code));
      devices.push_back({*program.model, program.facts, std::move(*code)});
    }
    addDescriptor(*module, *first.model, first.isDevice ? nullptr : &host,
                  devices, options.embedded);
    objects.push_back(emitCode(*module, host, false));
    result.output = joinObjects(objects);
    result.header = headerOf(*first.model);
    return Status::done;
  }

  /// "sm_90a (cubin, ptx)".
  static std::string describe(const Program &program, const DeviceCode &code) {
    std::string text = architectureOf(program.facts);
    if (!program.facts.sm || code.kernels.empty())
      return text;
    const char *names[] = {"ptx", "cubin", "emulator"};
    std::string list;
    for (const DeviceImage &image : code.kernels.front().images)
      list += (list.empty() ? "" : ", ") + std::string(names[image.kind]);
    return text + " (" + list + ")";
  }

  void report(const std::string &what) {
    if (options.progress)
      options.progress(what.c_str(), 0, 0);
  }
  /// Reports that it begins, and what is done of it when it is called.
  std::function<void(unsigned, unsigned)>
  reportKernels(const std::string &what) {
    report(what);
    return [this, what](unsigned done, unsigned all) {
      if (options.progress)
        options.progress(what.c_str(), done, all);
    };
  }
  void tell(const Diagnostics &from) {
    llvm::raw_string_ostream os(result.messages);
    from.print(os);
    for (const Diagnostics::Entry *entry : from.sorted())
      result.problems.push_back(asProblem(from, *entry));
  }
  Problem asProblem(const Diagnostics &from, const Diagnostics::Entry &entry) {
    Problem problem;
    problem.text = entry.text;
    problem.file = from.fileName().str();
    problem.isWarning = entry.severity != Diagnostics::Severity::error;
    if (entry.span.begin != nowhere.begin) {
      LineColumn at = from.lineColumn(entry.span.begin);
      problem.line = at.line;
      problem.column = at.column;
    }
    for (const Diagnostics::Entry &note : entry.notes)
      problem.notes.push_back(asProblem(from, note));
    return problem;
  }
  /// What a model asks for beyond a limit, where it stands in the file.
  void limit(Span span, const std::string &text) {
    Diagnostics one(diagnostics.fileName().str(), this->text);
    one.error(span, text);
    tell(one);
    isTooLarge = true;
  }
  Status status(Status otherwise) {
    return isTooLarge ? Status::limit : otherwise;
  }
  Span spanOf(Location loc) {
    FileLineColLoc place = placeOf(loc);
    return place ? diagnostics.spanAt({place.getLine(), place.getColumn()})
                 : Span{0, 1};
  }
  bool fitsArena(ModuleOp model) {
    bool fits = true;
    for (auto entry : model.getOps<func::FuncOp>()) {
      auto bytes = entry->getAttrOfType<IntegerAttr>(arenaAttr);
      if (bytes)
        result.arenaBytes = std::max(result.arenaBytes, bytes.getInt());
      if (bytes && bytes.getInt() > addressable) {
        limit({0, 1}, "the arena of " + entry.getName().str() + " takes " +
                          std::to_string(bytes.getInt()) +
                          " bytes, more than 2^47");
        fits = false;
      }
      if (!options.maxArena || !bytes || bytes.getInt() <= options.maxArena)
        continue;
      llvm::raw_string_ostream(result.messages)
          << "nncc: the arena of " << entry.getName() << " takes "
          << bytes.getInt() << " bytes at least, --max-arena allows "
          << options.maxArena << '\n';
      fits = false;
    }
    return fits;
  }
  bool parseSchedules(ScheduleTable &table) {
    Diagnostics problems(options.scheduleFile, options.scheduleText);
    table = nncc::parseSchedules(options.scheduleText, *programs.front().how,
                                 problems);
    tell(problems);
    return !problems.hasErrors();
  }
  bool fitSchedules() {
    Diagnostics problems(options.scheduleFile, options.scheduleText);
    std::vector<ModuleOp> models;
    for (Program &program : programs)
      models.push_back(*program.model);
    checkSchedules(options.scheduleText, models, problems);
    tell(problems);
    return !problems.hasErrors();
  }
  CompileResult end(Status status) {
    result.status = status;
    return std::move(result);
  }
  CompileResult print(ModuleOp module) {
    llvm::raw_string_ostream(result.output) << *module << '\n';
    return end(Status::done);
  }

  CompileOptions options;
  WorkingAt compiling;
  Diagnostics diagnostics;
  const std::string &text;
  MLIRContext context;
  llvm::LLVMContext llvmContext;
  std::vector<Program> programs;
  CompileResult result;
  bool isTooLarge = false;
};

} // namespace

CompileResult compileModel(const std::string &file, const std::string &text,
                           const CompileOptions &options, Stage stage) {
  return Compilation(file, text, options).run(stage);
}

std::string architectureFor(unsigned sm) { return bestArchitecture(sm); }

std::string schemaText() { return modelSchema(); }

} // namespace nncc
