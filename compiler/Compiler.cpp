//===- Compiler.cpp - the compiler as a library ---------------------------===//
#include "Compiler.h"
#include "Schedules.h"
#include "WrongPass.h"
#include "codegen/Abi.h"
#include "codegen/Header.h"
#include "codegen/Object.h"
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
      : options(options), how(options.kernels ? *options.kernels : cpuTarget()),
        compiling(file), diagnostics(file, text), text(text),
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
    if (!options.target.empty() && !how.isTriple(options.target)) {
      result.messages =
          "nncc: no code generator for --target=" + options.target +
          "; x86_64-unknown-linux-gnu is supported\n";
      return end(Status::unsupported);
    }
    if (!how.lookup(options.cpu, target, result.messages))
      return end(Status::usage);
    result.cpu = target.cpu;
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
    PassManager kernelPasses(&context);
    populateKernelPipeline(kernelPasses, target, how, schedules,
                           options.maxArena);
    injectWrongPass(kernelPasses, options.wrongPass);
    if (failed(kernelPasses.run(*model)))
      return end(status(Status::internal));
    if (!fitsArena(*model))
      return end(Status::limit);
    if (!fitSchedules(*model))
      return end(Status::rejected);
    if (stage == Stage::kernels)
      return print(*model);

    report("writing loops and vectors");
    auto kernels = lowerKernels(*model, target, how, options.wrongKernel);
    if (failed(kernels))
      return end(status(Status::internal));
    if (stage == Stage::linalg)
      return print(**kernels);
    if (stage == Stage::report || stage == Stage::reportJson) {
      result.output = reportOf(*model, target, stage == Stage::reportJson);
      return end(Status::done);
    }
    report("lowering to LLVM");
    PassManager llvmPasses(&context);
    populateLlvmPipeline(llvmPasses, options.debugLines);
    if (failed(llvmPasses.run(**kernels)))
      return end(Status::internal);

    llvm::LLVMContext llvmContext;
    auto module = buildLlvmModule(llvmContext, *model, **kernels, target);
    if (!module)
      return end(Status::internal);
    auto groups = optimize(*module, target, options.level, options.threads,
                           reportKernels("optimizing"));
    if (stage != Stage::object)
      linkGroups(*module, groups);
    addDescriptor(*module, *model, target, options.embedded);
    if (stage == Stage::llvm) {
      llvm::raw_string_ostream(result.output) << *module;
      return end(Status::done);
    }
    auto written = reportKernels("writing machine code");
    result.output = stage == Stage::assembly
                        ? emitCode(*module, target, true)
                        : emitObject(*module, std::move(groups), target,
                                     options.threads, written);
    result.header = headerOf(*model);
    return end(Status::done);
  }

private:
  void report(const char *what) {
    if (options.progress)
      options.progress(what, 0, 0);
  }
  /// Reports that it begins, and what is done of it when it is called.
  std::function<void(unsigned, unsigned)> reportKernels(const char *what) {
    report(what);
    return [this, what](unsigned done, unsigned all) {
      if (options.progress)
        options.progress(what, done, all);
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
    table = nncc::parseSchedules(options.scheduleText, how, problems);
    tell(problems);
    return !problems.hasErrors();
  }
  bool fitSchedules(ModuleOp model) {
    Diagnostics problems(options.scheduleFile, options.scheduleText);
    checkSchedules(options.scheduleText, model, problems);
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
  const KernelTarget &how;
  WorkingAt compiling;
  Diagnostics diagnostics;
  const std::string &text;
  MLIRContext context;
  TargetInfo target;
  CompileResult result;
  bool isTooLarge = false;
};

} // namespace

CompileResult compileModel(const std::string &file, const std::string &text,
                           const CompileOptions &options, Stage stage) {
  return Compilation(file, text, options).run(stage);
}

std::string schemaText() { return modelSchema(); }

} // namespace nncc
