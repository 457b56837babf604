using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "exchange.mjs", esModule = embed "exchange.mjs"),
    (name = "sse-duplex/client", esModule = embed "node_modules/sse-duplex/dist/client/index.mjs"),
  ],
  compatibilityDate = "2026-01-01",
);
