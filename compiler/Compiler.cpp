//===- Compiler.cpp - the compiler as a library ---------------------------===//
#include "Compiler.h"
#include "Generate.h"
#include "Schedules.h"
#include "WrongPass.h"
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
    result.status = choose(stage);
    if (result.status == Status::done)
      result.status = read();
    if (result.status == Status::done)
      result.status = compile(stage);
    return std::move(result);
  }

private:
  Status choose(Stage stage) {
    std::vector<ProgramTarget> targets;
    Status status = chooseTargets(options, stage, targets, result.messages);
    if (status != Status::done)
      return status;
    if (!targets.front().isDevice)
      result.cpu = targets.front().facts.cpu;
    for (ProgramTarget &target : targets)
      static_cast<ProgramTarget &>(programs.emplace_back()) = std::move(target);
    return Status::done;
  }

  /// The schedules, and the model as the file has it.
  Status read() {
    report(options, "reading the model");
    if (!parseSchedules())
      return Status::rejected;
    model =
        importModel(text, options.dims, options.entries, &context, diagnostics);
    tell(diagnostics);
    if (!model)
      return Status::rejected;
    if (!options.name.empty())
      model.get()->setAttr(modelNameAttr,
                           StringAttr::get(&context, options.name));
    result.modelName =
        model.get()->getAttrOfType<StringAttr>(modelNameAttr).str();
    return failed(verify(*model)) ? Status::internal : Status::done;
  }

  Status compile(Stage stage) {
    if (stage == Stage::graph) {
      result.output = graphOf(*model);
      return Status::done;
    }
    if (stage == Stage::nncc)
      return print(*model);
    if (Status status = formAllKernels(); status != Status::done)
      return status;
    const Program &shown = programs.back();
    if (stage == Stage::kernels)
      return print(*shown.model);
    if (Status status = lowerAllKernels(); status != Status::done)
      return status;
    if (stage == Stage::linalg)
      return print(*shown.kernels);
    bool isReport = stage == Stage::report || stage == Stage::reportJson;
    if (shown.isDevice || !isReport)
      return generateCode(programs, options, stage, result);
    result.output = reportOf(*shown.model, shown.facts, nullptr,
                             stage == Stage::reportJson);
    return Status::done;
  }

  Status formAllKernels() {
    report(options, "forming kernels");
    PassManager common(&context);
    populateCommonPipeline(common);
    injectWrongPass(common, options.wrongPass);
    if (failed(common.run(*model)))
      return status(Status::internal);
    for (Program &program : programs)
      if (Status status = formKernels(program); status != Status::done)
        return status;
    return fitSchedules() ? Status::done : Status::rejected;
  }

  Status lowerAllKernels() {
    report(options, "writing loops and vectors");
    for (Program &program : programs) {
      auto kernels = lowerKernels(*program.model, program.facts, *program.how,
                                  options.wrongKernel);
      if (failed(kernels))
        return status(Status::internal);
      program.kernels = std::move(*kernels);
    }
    return Status::done;
  }

  Status formKernels(Program &program) {
    program.model = model->clone();
    PassManager passes(&context);
    populateKernelPipeline(passes, program.facts, *program.how, schedules,
                           options.maxArena);
    injectWrongPass(passes, options.wrongPass);
    if (failed(passes.run(*program.model)))
      return status(Status::internal);
    return fitsArena(*program.model) ? Status::done : Status::limit;
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
  bool parseSchedules() {
    Diagnostics problems(options.scheduleFile, options.scheduleText);
    schedules = nncc::parseSchedules(options.scheduleText,
                                     *programs.front().how, problems);
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
  Status print(ModuleOp module) {
    llvm::raw_string_ostream(result.output) << *module << '\n';
    return Status::done;
  }

  CompileOptions options;
  WorkingAt compiling;
  Diagnostics diagnostics;
  const std::string &text;
  MLIRContext context;
  ScheduleTable schedules;
  OwningOpRef<ModuleOp> model; // until kernels are formed, what all share
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
