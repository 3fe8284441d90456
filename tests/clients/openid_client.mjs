// openid-client as it finds the gateway by its metadata: client credentials by each method, the authorization code grant
// with PKCE, refresh, revocation, introspection, DPoP.
//
// Usage: openid_client.mjs MODULES ISSUER KEY_FILE CLIENT_ID CLIENT_SECRET SIGNING_CLIENT REDIRECT_URI USERNAME PASSWORD.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import { logIn, statusFor } from "./login_form.mjs";

const [modules, base, keyFile, id, secret, signer, redirectUri, username, password] = process.argv.slice(2);
const { Issuer, generators } = createRequire(modules + "/")("openid-client");

const issuer = await Issuer.discover(`${base}/.well-known/oauth-authorization-server`);
assert.equal(issuer.issuer, base);
const route = `${base}/system/x`;

function isRefused(promise, error) {
  return assert.rejects(promise, (fault) => assert.equal(fault.error, error) === undefined);
}

async function getsATokenAndRevokesIt(client) {
  const token = await client.grant({ grant_type: "client_credentials", scope: "profile" });
  assert.equal(token.token_type, "Bearer");
  assert.equal(token.scope, "profile");
  assert(token.expires_in > 28_000 && token.expires_in <= 28_800 && !token.expired(), token.expires_in);
  assert.equal((await client.requestResource(route, token)).statusCode, 200);
  const known = await client.introspect(token.access_token);
  assert.deepEqual([known.active, known.client_id, known.scope], [true, client.client_id, "profile"]);
  await client.revoke(token.access_token, "access_token");
  assert.deepEqual(await client.introspect(token.access_token), { active: false });
  assert.equal((await client.requestResource(route, token)).statusCode, 401);
  await isRefused(client.grant({ grant_type: "client_credentials", scope: "admin" }), "invalid_scope");
}

for (const method of ["client_secret_basic", "client_secret_post"]) {
  const client = (client_secret) =>
    new issuer.Client({ client_id: id, client_secret, token_endpoint_auth_method: method });
  await getsATokenAndRevokesIt(client(secret));
  await isRefused(client("wrong").grant({ grant_type: "client_credentials" }), "invalid_client");
}
const jwk = crypto.createPrivateKey(fs.readFileSync(keyFile)).export({ format: "jwk" });
const keys = { keys: [{ ...jwk, kid: "one", alg: "ES256", use: "sig" }] };
await getsATokenAndRevokesIt(
  new issuer.Client({ client_id: signer, token_endpoint_auth_method: "private_key_jwt" }, keys),
);

// A token that is bound to a key, and is good with that key alone.
const client = new issuer.Client({
  client_id: id, client_secret: secret, redirect_uris: [redirectUri], response_types: ["code"],
});
const [own, other] = [0, 1].map(() => crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const bound = await client.grant({ grant_type: "client_credentials" }, { DPoP: own });
assert.equal(bound.token_type, "DPoP");
assert((await client.introspect(bound.access_token)).cnf.jkt);
assert.equal((await client.requestResource(route, bound, { DPoP: own })).statusCode, 200);
assert.equal((await client.requestResource(route, bound, { DPoP: other })).statusCode, 401);
assert.equal((await client.requestResource(route, bound.access_token, { tokenType: "Bearer" })).statusCode, 401);

async function loggedIn() {
  const [state, verifier] = [generators.state(), generators.codeVerifier()];
  const request = client.authorizationUrl({
    scope: "profile", state, code_challenge: generators.codeChallenge(verifier), code_challenge_method: "S256",
  });
  const back = await logIn(request, username, password);
  assert(back.startsWith(`${redirectUri}?`), back);
  // The library compares `state` and `iss` (RFC 9207) with its own.
  const redeem = () => client.oauthCallback(redirectUri, client.callbackParams(back), { state, code_verifier: verifier });
  return { token: await redeem(), redeem };
}

const status = (token) => statusFor(`${base}/me/x`, token.access_token);

// Each refresh token is good once: its return ends the login.
const first = (await loggedIn()).token;
assert.deepEqual([first.token_type, first.scope, await status(first)], ["Bearer", "profile", 200]);
const second = await client.refresh(first);
assert.notEqual(second.refresh_token, first.refresh_token);
assert.equal(await status(second), 200);
await isRefused(client.refresh(first), "invalid_grant");
assert.equal(await status(second), 401);

// Revocation of a refresh token ends its access tokens too (RFC 7009 section 2.1).
const third = (await loggedIn()).token;
assert.equal((await client.introspect(third.access_token)).active, true);
assert.equal((await client.introspect(third.refresh_token, "refresh_token")).token_type, "refresh_token");
await client.revoke(third.refresh_token, "refresh_token");
await isRefused(client.refresh(third), "invalid_grant");
assert.equal(await status(third), 401);

// As does a code that comes back.
const fourth = await loggedIn();
await isRefused(fourth.redeem(), "invalid_grant");
assert.equal(await status(fourth.token), 401);
console.log("ok");
