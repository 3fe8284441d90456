// Calls by Node, a plan of them on one connection at a time: see calls.rs. The client is https, http2 or undici.
import fs from "node:fs";
import https from "node:https";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";

const [base, caFile, plan, mode, kind, modules] = process.argv.slice(2);
const ca = fs.readFileSync(caFile);
const lines = fs.readFileSync(plan, "utf8").split("\n").filter(Boolean).map((line) => line.split("\t"));

const clients = {
  https() {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca });
    return (method, path, headers, body) =>
      new Promise((resolve, reject) => {
        if (body) headers["content-length"] = body.length;
        const request = https.request(base + path, { method, agent, headers }, (answer) => {
          answer.on("data", () => {}).on("error", reject).on("end", () => resolve(answer.statusCode));
        });
        request.on("error", reject);
        request.end(body);
      });
  },
  http2() {
    let session;
    const connected = () => {
      if (!session || session.closed || session.destroyed) {
        session = http2.connect(base, { ca });
        session.on("error", () => {});
        session.on("goaway", () => session.close());
      }
      return session;
    };
    return (method, path, headers, body) =>
      new Promise((resolve, reject) => {
        const open = connected();
        open.once("error", reject);
        const stream = open.request({ ":method": method, ":path": path, ...headers });
        let status;
        stream.on("response", (head) => (status = head[":status"]));
        stream.on("data", () => {}).on("error", reject);
        stream.on("end", () => {
          open.off("error", reject);
          resolve(status);
        });
        stream.end(body);
      });
  },
  undici() {
    const { Pool, request } = createRequire(modules + "/")("undici");
    const dispatcher = new Pool(base, { connections: 1, allowH2: true, connect: { ca } });
    return async (method, path, headers, body) => {
      const answer = await request(base + path, { method, headers, body, dispatcher });
      await answer.body.dump();
      return answer.statusCode;
    };
  },
};

const call = clients[kind]();
let [calls, lost, refused] = [0, 0, false];
do {
  for (const [method, path, size, expected, header] of lines) {
    if (method === "PAUSE") {
      await pause(Number(size));
      continue;
    }
    const [name, value] = header.split(": ");
    const headers = name ? { [name]: value } : {};
    const body = method === "POST" ? Buffer.alloc(Number(size), "x") : undefined;
    calls += 1;
    let reason;
    try {
      reason = await call(method, path, headers, body);
    } catch (error) {
      reason = `${error.code} ${error.message}`;
      if (mode === "until-refused" && reason.includes("ECONNREFUSED")) {
        calls -= 1;
        refused = true;
        break;
      }
    }
    if (!expected.split(",").includes(String(reason))) {
      lost += 1;
      console.log(`LOST ${method} ${path} ${size}: ${reason}`);
    }
  }
} while (mode === "until-refused" && !refused);
console.log(`DONE ${calls} ${lost}`);
process.exit(0);
