
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const fields = [...document.querySelectorAll("[data-parameter]")];

// The same rules as check_parameters in plan.py; a test compares them.
function isAllowed(parameter, value) {
  if (parameter.AllowedValues) return parameter.AllowedValues.map(String).includes(value);
  if (parameter.Type === "Number") {
    return /^-?\d+(\.\d+)?$/.test(value) && +value >= parameter.MinValue && +value <= parameter.MaxValue;
  }
  const parts = parameter.Type === "CommaDelimitedList" ? value.split(",").map((part) => part.trim()) : [value];
  return parts.every((part) => new RegExp(parameter.AllowedPattern).test(part));
}

// A page that nobody published, of which the template's file is all that the console can have.
const unpublished = !at("template").value;

function findTemplateProblem(value) {
  if (unpublished && !value) return "";
  const url = URL.canParse(value) ? new URL(value) : null;
  return url && url.protocol === "https:" ? "" : "Type the https URL of the template in S3.";
}

function findStackProblem(value) {
  return new RegExp(data.stackNamePattern).test(value)
    ? "" : data.stackNameRule;
}

// The same lines as open_ports in words.py; a test compares them.
function describePorts() {
  const lines = [];
  for (const [service, port, name] of [["HTCondor", at("CondorPort").value, "CondorCidrs"], ["SSH", "22", "SshCidrs"]]) {
    const parts = at(name).value.split(",").map((part) => part.trim()).filter(Boolean);
    const ranges = parts.join(", ");
    const who = parts.some((part) => data.everyAddress.includes(part))
      ? data.words.everyone.replace("{ranges}", ranges) : ranges;
    if (ranges) lines.push(fill(data.words.port, { port, service, who }));
  }
  return lines.length ? lines : [data.words.noPort];
}

function fill(text, values) {
  return text.replace(/{(\w+)}/g, (_, key) => values[key]);
}

function show(field, problem) {
  const place = at(field.id + "-problem");
  // Written only when it changes, so that a screen reader does not repeat it.
  if (place.textContent !== problem) place.textContent = problem;
  field.setAttribute("aria-invalid", String(problem !== ""));
  return problem !== "";
}

function refresh() {
  const region = at("region").value, stack = at("stack").value, image = at("Image");
  // There is no image to make one from.
  const imageless = data.imageless.includes(region)
    && image.value === String(data.parameters.Image.Default) && !at("BaseImage").value;
  const chosen = imageless ? [["param_Image", "no"]] : [];
  const wrong = [
    show(at("stack"), findStackProblem(stack)),
    show(at("template"), findTemplateProblem(at("template").value)),
  ];
  for (const field of fields) {
    const parameter = data.parameters[field.id];
    wrong.push(show(field, isAllowed(parameter, field.value) ? "" : parameter.ConstraintDescription));
    if (field.value !== String(parameter.Default)) chosen.push(["param_" + field.id, field.value]);
  }
  const problems = wrong.filter(Boolean).length;
  const query = [["templateURL", at("template").value], ["stackName", stack], ...chosen]
    .map(([name, value]) => name + "=" + encodeURIComponent(value)).join("&");
  const upload = unpublished && !at("template").value;
  const typed = chosen.map(([name, value]) => name.replace("param_", "") + " to " + (value || "nothing")).join(", ");
  const launch = at("launch");
  launch.textContent = upload ? "Upload in the console" : "Launch Stack";
  at("then").hidden = upload;
  at("ports").textContent = describePorts().join(" and ");
  at("opens").classList.toggle("wide", at("ports").textContent.includes(data.words.everyone.split(" (")[0]));
  at("image-time").hidden = imageless || at("Image").value !== String(data.parameters.Image.Default);
  if (problems) {
    launch.removeAttribute("href");
    launch.setAttribute("role", "link");
    launch.setAttribute("aria-disabled", "true");
    at("more").open = true;
  } else {
    launch.href = data.consoles[region] + "#/stacks/create" + (upload ? "" : "/review?" + query);
    launch.removeAttribute("role");
    launch.removeAttribute("aria-disabled");
  }
  at("summary").textContent = problems
    ? (problems === 1 ? "One field needs" : problems + " fields need") + " correcting."
    : upload ? region + ": name the stack " + stack + (typed ? " and set " + typed : "")
    : region + (chosen.length ? ", " + chosen.length + " changed from the default" : ", with default settings");
  const options = " --region " + region + (stack === data.defaultStackName ? "" : " --stack-name " + stack);
  for (const [id, command] of [["pull", "pull-config"], ["credentials", "credentials"], ["doctor", "doctor"]]) {
    at(id).textContent = "annex-bootstrap " + command + options;
  }
  at("describe").textContent =
    "aws cloudformation describe-stacks --region " + region + " --stack-name " + stack + " --output json";
}

// Accepts the output of describe-stacks, one stack of it, its list of outputs, or an object of names and values.
function readOutputs(text) {
  let read;
  try { read = JSON.parse(text); } catch { throw new Error("This is not JSON. Copy everything from the first brace to the last."); }
  const stacks = read && read.Stacks;
  if (stacks && stacks.length !== 1) throw new Error("This has " + stacks.length + " stacks. Paste only one.");
  const stack = stacks ? stacks[0] : read || {};
  const listed = Array.isArray(stack) ? stack : stack.Outputs;
  const outputs = listed ? Object.fromEntries(listed.map((output) => [output.OutputKey, output.OutputValue])) : stack;
  const name = typeof stack.StackName === "string" ? stack.StackName : at("stack").value;
  return { name, outputs };
}

function renderBlock({ name, outputs }) {
  const region = String(outputs[data.regionOutput] || "").split(":")[3] || "";
  const values = { ...outputs, stack: name, region, localName: region.replaceAll("-", "_") };
  const lacks = (line) => data.optionalOutputs.some((key) => values[key] === undefined && line.includes("{{" + key + "}}"));
  const form = data.block.split("\n").filter((line) => !lacks(line)).join("\n");
  return form.replace(/{{(\w+)}}/g, (_, key) => {
    const value = values[key];
    const pattern = data.outputPatterns[key] || (key === "stack" ? data.anyStackNamePattern : "[a-z0-9_-]+");
    if (typeof value !== "string" || !new RegExp("^(?:" + pattern + ")$").test(value)) {
      throw new Error("This stack has no usable output " + (["region", "localName"].includes(key) ? data.regionOutput : key)
        + ": is it a complete annex-bootstrap stack?");
    }
    return value;
  });
}

function convert() {
  const text = at("outputs").value.trim();
  let block = "", problem = "";
  if (text) {
    try { block = renderBlock(readOutputs(text)); } catch (error) { problem = error.message; }
  }
  at("block").value = block;
  at("result").hidden = !block;
  show(at("outputs"), problem);
}

at("form").addEventListener("input", refresh);
at("form").addEventListener("submit", (event) => event.preventDefault());
at("outputs").addEventListener("input", convert);
at("form").hidden = at("paste").hidden = false;
refresh();
convert();
