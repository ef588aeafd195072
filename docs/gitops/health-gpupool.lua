-- Argo CD: health of berthmaster.dev/GPUPool. How to install it: argo-cd.md.
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

local priced, matched = condition("Priced"), condition("Matched")
-- Nodes come and go with demand: a pool without any is as healthy as one with forty. But what is read from nodes,
-- the price among it where spec.price is absent, is not known before the first one is there.
local empty = matched.status == "False" and matched.reason == "NoNodes"
if priced.status == "False" and empty and obj.spec.price == nil then
  return health("Progressing", "no node yet to read the price from")
elseif priced.status == "False" then
  return health("Degraded", priced.message)
elseif matched.status == "False" and not empty then
  return health("Degraded", matched.message)
elseif priced.status == "True" then
  return health("Healthy", matched.message)
end
return health("Progressing", priced.message)
