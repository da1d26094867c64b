//===- Reference.cpp - the interpreter's view of a model ------------------===//
#include "Reference.h"
#include "Targets.h"
#include "WrongPass.h"
#include "codegen/Signature.h"
#include "codegen/Pipelines.h"
#include "dialect/Interpreter.h"
#include "dialect/Nncc.h"
#include "frontend/Importer.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;

namespace nncc {

namespace {

RefTensor fromElements(RankedTensorType type, const TensorElements &values) {
  RefTensor tensor(type);
  for (int64_t i = 0, n = tensor.size(); i < n; ++i)
    tensor.set(i, values.areFloats ? Number(values.floats[i])
                                   : Number(values.ints[i]));
  return tensor;
}

TensorElements toElements(const RefTensor &tensor) {
  return {tensor.isFloat(), tensor.floats, tensor.ints};
}

class Reference {
public:
  Reference(const ReferenceOptions &what, const TensorValues &inputs,
            const TensorValues &weights)
      : what(what), inputs(inputs), weights(weights) {}

  ReferenceResult result;

  /// Runs the body and appends its outputs as a stage.
  void run(ModuleOp module, StringRef name) {
    result.calls.clear();
    auto observe = [&](Operation *op, ArrayRef<RefTensor> values) {
      auto call = dyn_cast<CallOp>(op);
      if (call || isa<AllReduceOp>(op))
        result.calls.push_back({call ? call.getCallee().str() : "all_reduce",
                                originOf(op->getLoc()),
                                dtypeOf(values.back().type.getElementType()),
                                toElements(values.back())});
    };
    func::FuncOp entry = entryOf(module);
    result.names.clear();
    for (unsigned i = 0; i < entry.getNumResults(); ++i)
      result.names.push_back(resultName(entry, i).str());
    ReferenceStage stage{name.str(), {}};
    for (const RefTensor &output : evaluate(module, inputs, weights, observe))
      stage.outputs.push_back(toElements(output));
    result.stages.push_back(std::move(stage));
  }

  /// Central differences of what the entry differentiates, for some elements of
  /// everything it gives a gradient of.
  void sampleGradients(ModuleOp module) {
    func::FuncOp entry = entryOf(module);
    std::vector<RefTensor> outputs = evaluate(module, inputs, weights);
    for (unsigned o = 0; o < entry.getNumResults(); ++o) {
      StringRef name = resultName(entry, o);
      if (!name.consume_front("grad."))
        continue;
      const std::vector<double> &gradient = outputs[o].floats;
      for (unsigned k = 0; k < what.samples && k < gradient.size(); ++k) {
        // Spread over the tensor, the same ones each time.
        size_t element = gradient.size() * (2 * k + 1) / (2 * what.samples);
        element = std::min(element, gradient.size() - 1);
        double step = 1e-6, ends[2];
        for (int side = 0; side < 2; ++side) {
          TensorValues x = inputs, w = weights;
          auto &values = x.count(name.str()) ? x[name.str()] : w[name.str()];
          values.floats[element] += side ? step : -step;
          ends[side] = objective(entry, x, evaluate(module, x, w));
        }
        result.gradients.push_back({name.str(), element, gradient[element],
                                    (ends[1] - ends[0]) / (2 * step)});
      }
    }
  }

private:
  func::FuncOp entryOf(ModuleOp module) {
    std::string suffix = what.body ? "." + std::to_string(what.body) : "";
    if (what.accumulates)
      suffix += ".accumulate";
    return module.lookupSymbol<func::FuncOp>(what.entry + suffix);
  }

  static StringRef resultName(func::FuncOp entry, unsigned i) {
    return entry.getResultAttrOfType<StringAttr>(i, valueNameAttr).getValue();
  }

  std::vector<RefTensor> evaluate(ModuleOp module, const TensorValues &inputs,
                                  const TensorValues &weights,
                                  Observer observe = {}) {
    std::vector<RefTensor> prepared;
    auto lookup = [&](StringRef path, bool isPrepared, RankedTensorType type) {
      if (isPrepared)
        return prepared[std::stoull(path.str())];
      auto known = weights.find(path.str());
      return known == weights.end() ? RefTensor(type) // a fresh optimizer's
                                    : fromElements(type, known->second);
    };
    if (auto prepare = module.lookupSymbol<func::FuncOp>("prepare"))
      prepared = interpret(prepare, {}, lookup);
    func::FuncOp entry = entryOf(module);
    std::vector<RefTensor> arguments;
    for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
      auto type = cast<RankedTensorType>(entry.getArgumentTypes()[i]);
      auto input = entry.getArgAttrOfType<StringAttr>(i, valueNameAttr);
      if (entry.getArgAttr(i, keyAttr))
        arguments.push_back(
            fromElements(type, {false, {}, {int64_t(what.seed), what.step}}));
      else
        arguments.push_back(fromElements(type, inputs.at(input.str())));
    }
    return interpret(entry, arguments, lookup, observe);
  }

  /// The loss, or the outputs times their cotangents.
  static double objective(func::FuncOp entry, const TensorValues &inputs,
                          const std::vector<RefTensor> &outputs) {
    double total = 0;
    for (unsigned o = 0; o < entry.getNumResults(); ++o) {
      auto cotangent = inputs.find("grad." + resultName(entry, o).str());
      if (resultName(entry, o) == "loss" && cotangent == inputs.end())
        return outputs[o].get(0);
      if (cotangent != inputs.end())
        for (size_t i = 0; i < cotangent->second.size(); ++i)
          total += cotangent->second.get(i) * outputs[o].get(int64_t(i));
    }
    return total;
  }

  const ReferenceOptions &what;
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
                               const CompileOptions &options,
                               const TensorValues &inputs,
                               const TensorValues &weights,
                               const ReferenceOptions &what) {
  Reference reference(what, inputs, weights);
  ReferenceResult &result = reference.result;
  std::vector<ProgramTarget> targets;
  result.status =
      chooseTargets(options, Stage::kernels, targets, result.messages);
  if (result.status != Status::done)
    return result;
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
  // Only reverse mode gives gradient ops a meaning.
  PassManager autodiff(&context);
  autodiff.addPass(createNnccAutodiff());
  if (failed(autodiff.run(*model))) {
    result.status = Status::internal;
    return result;
  }
  reference.run(*model, "import");
  if (what.samples)
    reference.sampleGradients(*model);
  if (!what.everyPass)
    return result;
  PassManager passes(&context);
  populateCommonPipeline(passes);
  const ProgramTarget &target = targets.front();
  populateKernelPipeline(passes, target.facts, *target.how, {});
  passes.addInstrumentation(std::make_unique<AfterPass>(reference));
  // Hooks behind a pass run last to first: the fault comes before the look.
  injectWrongPass(passes, options.wrongPass);
  if (failed(passes.run(*model)))
    result.status = Status::internal;
  return result;
}

} // namespace nncc
