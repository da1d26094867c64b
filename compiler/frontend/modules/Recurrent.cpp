//===- Recurrent.cpp - RNN, LSTM and GRU ----------------------------------===//
//
// The input's part of all gates is one product over all steps; the steps are
// written out, each a product with the hidden state and elementwise work.
// Equal steps become equal kernels, so the code does not grow with time. With
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

/// One direction of one layer.
struct Cell {
  Call &c;
  int64_t hidden;
  Expr recurrent, recurrentBias; // weight_hh; bias_hh of GRU's new gate
  Expr alive; // (T, B, 1): step t is inside the sequence; or null

  Expr gate(Expr gates, int64_t i) const {
    return slice(gates, gates.rank() - 1, i * hidden, hidden);
  }

  /// Beyond its end a sequence keeps its state and gives zeros.
  Expr stepInside(Expr x, int64_t t, Expr &h, Expr &cell) const {
    Expr oldH = h, oldCell = cell;
    step(x, h, cell);
    if (!alive)
      return h;
    Expr inside = reshape(slice(alive, 0, t, 1), {alive.dim(1), 1});
    h = select(inside, h, oldH);
    if (cell)
      cell = select(inside, cell, oldCell);
    return select(inside, h, full(h.context(), h.element(), h.shape(), 0));
  }

  /// Advances h and c by one step, given the input's part of the gates (B, G).
  void step(Expr x, Expr &h, Expr &cell) const {
    Expr product = linear(h, recurrent);
    if (c.name == "nn.LSTM") {
      Expr gates = x + product;
      Expr i = sigmoid(gate(gates, 0)), f = sigmoid(gate(gates, 1));
      Expr g = tanh(gate(gates, 2)), o = sigmoid(gate(gates, 3));
      cell = f * cell + i * g;
      h = o * tanh(cell);
    } else if (c.name == "nn.GRU") {
      if (recurrentBias)
        product = product + recurrentBias;
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

/// x (T, B, I) -> (T, B, H); h and cell become the final states (B, H).
static Expr runDirection(Call &c, Expr x, Expr alive, int64_t layer,
                         int64_t direction, Expr &h, Expr &cell) {
  std::string end = suffix(layer, direction);
  Cell one{c, c.integer("hidden_size"), c.tensor("weight_hh" + end), {}, alive};
  Expr gates = linear(x, c.tensor("weight_ih" + end));
  if (c.flag("bias")) {
    Expr bias = c.tensor("bias_ih" + end);
    Expr recurrentBias = c.tensor("bias_hh" + end);
    if (c.name == "nn.GRU") // r scales the product with its bias
      one.recurrentBias = recurrentBias;
    else
      bias = bias + recurrentBias;
    gates = gates + bias;
  }
  int64_t steps = x.dim(0), batch = x.dim(1);
  std::vector<Expr> outputs(steps);
  for (int64_t i = 0; i < steps; ++i) {
    int64_t t = direction ? steps - 1 - i : i;
    Expr now = reshape(slice(gates, 0, t, 1), {batch, gates.dim(2)});
    Expr y = one.stepInside(now, t, h, cell);
    outputs[t] = reshape(y, {1, batch, one.hidden});
  }
  return concat(outputs, 0);
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
  std::vector<Expr> states, lastH, lastC;
  if (!initialStates(c, x, isBatch, layers * directions, states))
    return {};
  auto part = [&](Expr all, int64_t i) {
    return reshape(slice(all, 0, i, 1), all.shape().drop_front());
  };
  Expr alive;
  if (c.hasTensor("lengths") && !insideSequences(c, x, alive))
    return {};
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<Expr> outputs;
    for (int64_t d = 0; d < directions; ++d) {
      int64_t i = layer * directions + d;
      Expr h = part(states[0], i), cell;
      if (states.size() == 2)
        cell = part(states[1], i);
      outputs.push_back(runDirection(c, x, alive, layer, d, h, cell));
      auto keep = [&](std::vector<Expr> &list, Expr state) {
        if (state)
          list.push_back(reshape(state, {1, state.dim(0), state.dim(1)}));
      };
      keep(lastH, h);
      keep(lastC, cell);
    }
    x = concat(outputs, 2);
    if (c.trains && layer + 1 < layers)
      x = c.dropout(x, c.number("dropout"));
  }
  auto unbatched = [&](Expr all) {
    return isBatch ? all : reshape(all, {all.dim(0), all.dim(2)});
  };
  Result y = batchFirst ? swapDims(x, 0, 1) : unbatched(x);
  Result h = unbatched(concat(lastH, 0));
  if (lastC.empty())
    return Result::tuple({y, h});
  Result cells = unbatched(concat(lastC, 0));
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
