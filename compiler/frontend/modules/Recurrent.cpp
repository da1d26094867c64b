//===- Recurrent.cpp - RNN, LSTM and GRU ----------------------------------===//
//
// The input's part of all gates is one product over all steps; a scan over it
// multiplies with the hidden state and does the elementwise work. With
// `lengths` a layer behaves as on a PackedSequence, with padded tensors.
// Formulas: torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN.
//
//===----------------------------------------------------------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

static int64_t gateCount(Call &c) {
  return c.name == "nn.LSTM" ? 4 : c.name == "nn.GRU" ? 3 : 1;
}

/// "_l0", "_l0_reverse".
static std::string suffix(int64_t layer, int64_t direction) {
  return "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
}

static void recurrentState(Call &c, std::vector<StateDef> &state) {
  int64_t hidden = c.integer("hidden_size"), gates = gateCount(c) * hidden;
  int64_t directions = c.flag("bidirectional") ? 2 : 1;
  for (int64_t layer = 0; layer < c.integer("num_layers"); ++layer)
    for (int64_t d = 0; d < directions; ++d) {
      int64_t in = layer ? hidden * directions : c.integer("input_size");
      std::string end = suffix(layer, d);
      state.push_back({"weight_ih" + end, {gates, in}});
      state.push_back({"weight_hh" + end, {gates, hidden}});
      if (!c.flag("bias"))
        continue;
      state.push_back({"bias_ih" + end, {gates}});
      state.push_back({"bias_hh" + end, {gates}});
    }
}

/// One step of one direction of a layer, as the body of a scan.
struct Cell {
  Call &c;
  Expr recurrent, bias; // weight_hh; bias_hh of GRU's new gate, or null

  Expr gate(Expr gates, int64_t i) const {
    int64_t hidden = c.integer("hidden_size");
    return slice(gates, gates.rank() - 1, i * hidden, hidden);
  }

  /// Advances the state, h and for LSTM the cell, given the input's part of the
  /// gates (B, G).
  void step(Expr x, std::vector<Expr> &state) const {
    Expr &h = state[0], product = linear(h, recurrent);
    if (c.name == "nn.LSTM") {
      Expr &cell = state[1], gates = x + product;
      Expr i = sigmoid(gate(gates, 0)), f = sigmoid(gate(gates, 1));
      Expr g = tanh(gate(gates, 2)), o = sigmoid(gate(gates, 3));
      cell = f * cell + i * g;
      h = o * tanh(cell);
    } else if (c.name == "nn.GRU") {
      if (bias)
        product = product + bias;
      Expr r = sigmoid(gate(x, 0) + gate(product, 0));
      Expr z = sigmoid(gate(x, 1) + gate(product, 1));
      Expr n = tanh(gate(x, 2) + r * gate(product, 2));
      h = n + z * (h - n); // (1 - z) n + z h
    } else {
      Expr sum = x + product;
      h = c.word("nonlinearity") == "relu" ? max(sum, 0.0, Ties::rhs)
                                           : tanh(sum);
    }
  }
};

/// x (T, B, I) -> (T, B, H); `state` (B, H) each becomes the final one. With
/// `alive` (T, B, 1) a sequence keeps its state beyond its end and gives zeros.
static Expr runDirection(Call &c, Expr x, Expr alive, int64_t layer,
                         int64_t direction, std::vector<Expr> &state) {
  std::string end = suffix(layer, direction);
  Expr gates = linear(x, c.tensor("weight_ih" + end));
  std::vector<Expr> sequences, weights{c.tensor("weight_hh" + end)};
  if (c.flag("bias")) {
    Expr bias = c.tensor("bias_ih" + end);
    Expr recurrentBias = c.tensor("bias_hh" + end);
    if (c.name == "nn.GRU") // r scales the product with its bias
      weights.push_back(recurrentBias);
    else
      bias = bias + recurrentBias;
    gates = gates + bias;
  }
  sequences.push_back(gates);
  if (alive)
    sequences.push_back(alive);
  Scanned run =
      scan(state, sequences, weights, direction,
           [&](std::vector<Expr> &now, llvm::ArrayRef<Expr> inputs,
               llvm::ArrayRef<Expr> fixed) {
             std::vector<Expr> old = now;
             Cell{c, fixed[0], fixed.size() > 1 ? fixed[1] : Expr()}.step(
                 inputs[0], now);
             if (!alive)
               return std::vector<Expr>{now[0]};
             for (auto [next, before] : llvm::zip_equal(now, old))
               next = select(inputs[1], next, before);
             Expr zero = full(x.context(), x.element(), now[0].shape(), 0);
             return std::vector<Expr>{select(inputs[1], now[0], zero)};
           });
  state = run.finals;
  return run.stacks[0];
}

/// Initial states (L * D, B, H), checked; zeros if none are given. Those of one
/// sequence without a batch are (L * D, H).
static bool initialStates(Call &c, Expr x, bool isBatch, int64_t count,
                          std::vector<Expr> &states) {
  int64_t hidden = c.integer("hidden_size");
  llvm::SmallVector<int64_t> shape{count, x.dim(1), hidden}, given(shape);
  if (!isBatch)
    given.erase(given.begin() + 1);
  size_t needed = c.name == "nn.LSTM" ? 2 : 1;
  if (needed == 2)
    states = c.tensors("hx");
  else if (c.hasTensor("hx"))
    states = {c.tensor("hx")};
  if (states.empty())
    states.assign(needed, full(x.context(), x.element(), given, 0));
  for (Expr &state : states) {
    if (states.size() != needed || state.shape() != Ints(given)) {
      c.error("hx", "initial states must have shape " + shapeText(given) +
                        ", got " + shapeText(state.shape()));
      return false;
    }
    state = reshape(state, shape);
  }
  return true;
}

/// `lengths` as a mask (T, B, 1) of the steps inside each sequence.
static bool insideSequences(Call &c, Expr x, Expr &alive) {
  Expr lengths = c.tensor("lengths");
  int64_t steps = x.dim(0), batch = x.dim(1);
  if (lengths.isFloat() || lengths.shape() != Ints({batch})) {
    c.error("lengths", "lengths must be integers, one per sequence " +
                           shapeText({batch}) + ", got " +
                           dtypeName(lengths.element()) + " " +
                           shapeText(lengths.shape()));
    return false;
  }
  c.limitInput(lengths, 1, steps + 1); // as pack_padded_sequence asks
  Expr t = iota(x.context(), lengths.element(), {steps, batch, 1}, 0);
  alive = compare(Predicate::lt, t, reshape(lengths, {1, batch, 1}));
  return true;
}

static Result emitRecurrent(Call &c) {
  Expr x = c.tensor("input");
  bool isBatch = x.rank() == 3;
  if ((!isBatch && x.rank() != 2) || x.dim(-1) != c.integer("input_size"))
    return c.error("", "expected an input of 2 or 3 dimensions whose last is " +
                           llvm::Twine(c.integer("input_size")) + ", got " +
                           shapeText(x.shape()));
  bool batchFirst = isBatch && c.flag("batch_first");
  if (!isBatch) // (T, I): one sequence
    x = reshape(x, {x.dim(0), 1, x.dim(1)});
  if (batchFirst)
    x = swapDims(x, 0, 1);
  if (x.dim(0) == 0)
    return c.error("", "the sequence must not be empty");
  int64_t layers = c.integer("num_layers");
  int64_t directions = c.flag("bidirectional") ? 2 : 1;
  std::vector<Expr> states, last[2]; // of h and of LSTM's cell
  if (!initialStates(c, x, isBatch, layers * directions, states))
    return {};
  Expr alive;
  if (c.hasTensor("lengths") && !insideSequences(c, x, alive))
    return {};
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<Expr> outputs;
    for (int64_t d = 0; d < directions; ++d) {
      int64_t i = layer * directions + d;
      std::vector<Expr> state;
      for (Expr all : states)
        state.push_back(reshape(slice(all, 0, i, 1), all.shape().drop_front()));
      outputs.push_back(runDirection(c, x, alive, layer, d, state));
      for (auto [k, final] : llvm::enumerate(state))
        last[k].push_back(reshape(final, {1, final.dim(0), final.dim(1)}));
    }
    x = concat(outputs, 2);
    if (c.trains && layer + 1 < layers)
      x = c.dropout(x, c.number("dropout"));
  }
  auto unbatched = [&](Expr all) {
    return isBatch ? all : reshape(all, {all.dim(0), all.dim(2)});
  };
  Result y = batchFirst ? swapDims(x, 0, 1) : unbatched(x);
  Result h = unbatched(concat(last[0], 0));
  if (last[1].empty())
    return Result::tuple({y, h});
  Result cells = unbatched(concat(last[1], 0));
  return Result::tuple({y, Result::tuple({h, cells})});
}

void registerRecurrent(Registry &r) {
  std::vector<ArgDef> args = {
      ArgDef("input_size", K::integer).min(1),
      ArgDef("hidden_size", K::integer).min(1),
      ArgDef("num_layers", K::integer).optional("1").min(1),
      ArgDef("bias", K::boolean).optional("true"),
      ArgDef("batch_first", K::boolean).optional("false"),
      ArgDef("dropout", K::number).optional("0.0").min(0).max(1),
      ArgDef("bidirectional", K::boolean).optional("false"),
      stateDType()};
  std::vector<ArgDef> plain = args;
  plain.push_back(ArgDef("nonlinearity", K::word)
                      .optional("\"tanh\"")
                      .oneOf({"tanh", "relu"}));
  ArgDef input("input", K::tensor);
  auto lengths = ArgDef("lengths", K::tensor).optional().ofOtherType();
  r.add({{"nn.LSTM"},
         "long short-term memory",
         args,
         {input, ArgDef("hx", K::tensors).optional(), lengths},
         recurrentState,
         nullptr,
         emitRecurrent,
         TypeRule::floating});
  auto hx = ArgDef("hx", K::tensor).optional();
  r.add({{"nn.GRU"},
         "gated recurrent unit",
         args,
         {input, hx, lengths},
         recurrentState,
         nullptr,
         emitRecurrent,
         TypeRule::floating});
  r.add({{"nn.RNN"},
         "Elman network",
         plain,
         {input, hx, lengths},
         recurrentState,
         nullptr,
         emitRecurrent,
         TypeRule::floating});
}

} // namespace nncc
