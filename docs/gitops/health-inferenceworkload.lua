-- Argo CD: health of berthmaster.dev/InferenceWorkload. How to install it: argo-cd.md.
local function condition(type)
  for _, each in ipairs((obj.status or {}).conditions or {}) do
    if each.type == type then
      return each
    end
  end
  return {}
end

local function health(status, message)
  return {status = status, message = message or ""}
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "waiting for the operator to look at the newest spec")
end

local stalled, reconciling, ready = condition("Stalled"), condition("Reconciling"), condition("Ready")
if reconciling.status == "True" then
  return health("Progressing", reconciling.message)
elseif stalled.status == "True" then
  return health("Degraded", stalled.message)
elseif ready.status == "True" then
  return health("Healthy", ready.message)
end
return health("Progressing", ready.message)
