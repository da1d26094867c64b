//===- Reference.cpp - the interpreter's view of a model ------------------===//
#include "Reference.h"
#include "codegen/Abi.h"
#include "codegen/Pipelines.h"
#include "dialect/Interpreter.h"
#include "dialect/Nncc.h"
#include "frontend/Importer.h"
#include "passes/Utils.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;

namespace nncc {

namespace {

RefTensor fromValues(RankedTensorType type, const std::vector<double> &values) {
  RefTensor tensor(type);
  for (int64_t i = 0, n = tensor.size(); i < n; ++i)
    tensor.set(i, values[i]);
  return tensor;
}

std::vector<double> toValues(const RefTensor &tensor) {
  std::vector<double> values(tensor.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = tensor.get(i);
  return values;
}

class Reference {
public:
  Reference(unsigned body, const TensorValues &inputs,
            const TensorValues &weights)
      : body(body), inputs(inputs), weights(weights) {}

  ReferenceResult result;

  /// Runs the body and appends its outputs as a stage.
  void run(ModuleOp module, StringRef name) {
    std::vector<RefTensor> prepared;
    auto lookup = [&](StringRef path, bool isPrepared, RankedTensorType type) {
      if (isPrepared)
        return prepared[std::stoull(path.str())];
      return fromValues(type, weights.at(path.str()));
    };
    if (auto prepare = module.lookupSymbol<func::FuncOp>("prepare"))
      prepared = interpret(prepare, {}, lookup);
    std::string symbol = body ? "forward." + std::to_string(body) : "forward";
    auto entry = module.lookupSymbol<func::FuncOp>(symbol);
    std::vector<RefTensor> arguments;
    for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
      auto input = entry.getArgAttrOfType<StringAttr>(i, valueNameAttr);
      arguments.push_back(
          fromValues(cast<RankedTensorType>(entry.getArgumentTypes()[i]),
                     inputs.at(input.str())));
    }
    result.calls.clear();
    auto observe = [&](Operation *op, ArrayRef<RefTensor> values) {
      auto call = dyn_cast<CallOp>(op);
      if (!call)
        return;
      result.calls.push_back({call.getCallee().str(), originOf(call.getLoc()),
                              dtypeOf(values[0].type.getElementType()),
                              toValues(values[0])});
    };
    ReferenceStage stage{name.str(), {}};
    for (const RefTensor &output : interpret(entry, arguments, lookup, observe))
      stage.outputs.push_back(toValues(output));
    result.stages.push_back(std::move(stage));
  }

private:
  unsigned body;
  const TensorValues &inputs, &weights;
};

/// Interprets the module after every pass on it.
struct AfterPass : PassInstrumentation {
  explicit AfterPass(Reference &reference) : reference(reference) {}
  void runAfterPass(Pass *pass, Operation *op) override {
    if (auto module = dyn_cast<ModuleOp>(op))
      reference.run(module, pass->getArgument());
  }
  Reference &reference;
};

} // namespace

ReferenceResult interpretModel(const std::string &file, const std::string &text,
                               const CompileOptions &options, unsigned body,
                               const TensorValues &inputs,
                               const TensorValues &weights, bool everyPass) {
  Reference reference(body, inputs, weights);
  ReferenceResult &result = reference.result;
  TargetInfo target;
  if (!lookupTarget(options.cpu, target, result.messages)) {
    result.status = Status::usage;
    return result;
  }
  MLIRContext context(MLIRContext::Threading::DISABLED);
  Diagnostics diagnostics(file, text);
  OwningOpRef<ModuleOp> model =
      importModel(text, options.dims, options.entries, &context, diagnostics);
  if (!model) {
    llvm::raw_string_ostream os(result.messages);
    diagnostics.print(os);
    result.status = Status::rejected;
    return result;
  }
  reference.run(*model, "import");
  if (!everyPass)
    return result;
  PassManager passes(&context);
  populateKernelPipeline(passes, target, {});
  passes.addInstrumentation(std::make_unique<AfterPass>(reference));
  // Hooks behind a pass run last to first: the fault comes before the look.
  injectWrongPass(passes, options.wrongPass);
  if (failed(passes.run(*model)))
    result.status = Status::internal;
  return result;
}

} // namespace nncc
