-- Asks `restate-identity edge` about a request. haproxy.cfg lets the request through only if this says "yes".
-- If a client gives up before the answer, HAProxy logs "yield not allowed", and passes nothing on.
local URL = "http://127.0.0.1/" -- of the request line only: haproxy.cfg says where the edge is
local MILLISECONDS = 5000
local ASKED_ABOUT = { "x-restate-signature-scheme", "x-restate-jwt-v1" }

local function ask(txn, edge)
    local received = txn.http:req_get_headers()
    -- The path as the client sent it. Nothing else of the request reaches the edge, so no header can be forged.
    local question = { ["x-original-uri"] = { txn.f:pathq() } }
    for _, name in ipairs(ASKED_ABOUT) do
        local values = {}
        -- HAProxy counts from 0. The edge refuses a header that is there twice.
        for place = 0, received[name] and #received[name] or -1 do
            table.insert(values, received[name][place])
        end
        question[name] = values
    end

    local answer = core.httpclient():get({ url = URL, dst = edge, headers = question, timeout = MILLISECONDS })
    if answer.status == 401 then
        txn:set_var("txn.restate_identity", "no")
    elseif answer.status == 200 then
        local subject = answer.headers["x-restate-identity-subject"]
        txn:set_var("txn.restate_identity_key", answer.headers["x-restate-identity-key"][0])
        if subject then
            txn:set_var("txn.restate_identity_subject", subject[0])
        end
        txn:set_var("txn.restate_identity", "yes")
    end
end

core.register_action("ask_restate_identity", { "http-req" }, ask, 1)
