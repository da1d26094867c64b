//===- WrongPass.cpp - a fault to be found --------------------------------===//
#include "WrongPass.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "passes/Utils.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"

using namespace mlir;

namespace nncc {

namespace {
struct WrongPass : PassInstrumentation {
  explicit WrongPass(std::string name) : name(std::move(name)) {}
  void runAfterPass(Pass *pass, Operation *op) override {
    auto module = dyn_cast<ModuleOp>(op);
    if (!module || pass->getArgument() != name)
      return;
    for (func::FuncOp entry : entriesOf(module)) {
      Operation *ret = entry.getBody().front().getTerminator();
      if (!entry->hasAttr(entryAttr) || ret->getNumOperands() == 0)
        continue;
      OpBuilder b(ret);
      Value value = ret->getOperand(0);
      ret->setOperand(0, AddOp::create(b, ret->getLoc(), value, value));
    }
  }
  std::string name;
};
} // namespace

void injectWrongPass(PassManager &pm, const std::string &pass) {
  if (!pass.empty())
    pm.addInstrumentation(std::make_unique<WrongPass>(pass));
}

} // namespace nncc
