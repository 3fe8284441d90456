// oauth4webapi, which takes nothing that the standards do not say: as a client of the gateway, and as a resource server
// behind it that verifies its access tokens (RFC 9068).
//
// Usage: oauth4webapi.mjs MODULES ISSUER KEY_FILE CLIENT_ID CLIENT_SECRET SIGNING_CLIENT REDIRECT_URI USERNAME PASSWORD.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { logIn, statusFor } from "./login_form.mjs";

const [modules, base, keyFile, id, secret, signer, redirectUri, username, password] = process.argv.slice(2);
// Node 18 has them in a module only.
globalThis.crypto ??= crypto.webcrypto;
globalThis.CryptoKey ??= crypto.webcrypto.CryptoKey;
const oauth = await import(pathToFileURL(`${modules}/oauth4webapi/build/index.js`));

const issuer = new URL(base);
const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2" });
const server = await oauth.processDiscoveryResponse(issuer, found);
const route = new URL(`${base}/system/x`);

async function isRefused(promise, error) {
  await assert.rejects(promise, (fault) => assert.equal(fault.error, error) === undefined);
}

async function credentials(client, auth, options, scope = "profile") {
  const asked = await oauth.clientCredentialsGrantRequest(server, client, auth, { scope }, options);
  return oauth.processClientCredentialsResponse(server, client, asked);
}

async function status(token, options) {
  try {
    return (await oauth.protectedResourceRequest(token, "GET", route, undefined, null, options)).status;
  } catch (fault) {
    // The library has read the challenge in WWW-Authenticate.
    assert(fault instanceof oauth.WWWAuthenticateChallengeError, fault);
    return fault.status;
  }
}

async function introspected(client, auth, token) {
  const asked = await oauth.introspectionRequest(server, client, auth, token);
  return oauth.processIntrospectionResponse(server, client, asked);
}

async function getsATokenAndRevokesIt(client, auth) {
  const token = await credentials(client, auth());
  assert.deepEqual([token.token_type, token.scope, token.expires_in], ["bearer", "profile", 28_800]);
  assert.equal(await status(token.access_token), 200);
  const headers = { authorization: `Bearer ${token.access_token}` };
  const claims = await oauth.validateJwtAccessToken(server, new Request(route, { headers }), "legacy-api");
  assert.deepEqual([claims.client_id, claims.scope], [client.client_id, "profile"]);
  assert.equal((await introspected(client, auth(), token.access_token)).client_id, client.client_id);
  const revoked = await oauth.revocationRequest(server, client, auth(), token.access_token);
  assert.equal(await oauth.processRevocationResponse(revoked), undefined);
  assert.deepEqual(await introspected(client, auth(), token.access_token), { active: false });
  assert.equal(await status(token.access_token), 401);
  await isRefused(credentials(client, auth(), undefined, "admin"), "invalid_scope");
}

const client = { client_id: id };
for (const method of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
  await getsATokenAndRevokesIt(client, () => method(secret));
  await assert.rejects(credentials(client, method("wrong")));
}
const pkcs8 = crypto.createPrivateKey(fs.readFileSync(keyFile)).export({ format: "der", type: "pkcs8" });
const ecdsa = { name: "ECDSA", namedCurve: "P-256" };
const key = await globalThis.crypto.subtle.importKey("pkcs8", pkcs8, ecdsa, false, ["sign"]);
await getsATokenAndRevokesIt({ client_id: signer }, () => oauth.PrivateKeyJwt({ key, kid: "one" }));

// A token that is bound to a key, and is good with that key alone.
const basic = oauth.ClientSecretBasic(secret);
const [own, other] = await Promise.all(
  [0, 1].map(async () => oauth.DPoP(client, await oauth.generateKeyPair("ES256"))),
);
const bound = await credentials(client, basic, { DPoP: own });
assert.equal(bound.token_type, "dpop");
assert.equal(await status(bound.access_token, { DPoP: own }), 200);
assert.equal(await status(bound.access_token, { DPoP: other }), 401);
assert.equal(await status(bound.access_token), 401);

async function refreshed(token) {
  const asked = await oauth.refreshTokenGrantRequest(server, client, basic, token.refresh_token);
  return oauth.processRefreshTokenResponse(server, client, asked);
}

const call = (token) => statusFor(`${base}/me/x`, token.access_token);

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const request = new URL(server.authorization_endpoint);
request.search = new URLSearchParams({
  client_id: id, redirect_uri: redirectUri, response_type: "code", scope: "profile", state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
});
const back = new URL(await logIn(request.href, username, password));
// It compares `state` and `iss` (RFC 9207) with its own.
const returned = oauth.validateAuthResponse(server, client, back, state);
const redeem = async () => {
  const asked = await oauth.authorizationCodeGrantRequest(server, client, basic, returned, redirectUri, verifier);
  return oauth.processAuthorizationCodeResponse(server, client, asked);
};
const first = await redeem();
assert.deepEqual([first.token_type, first.scope, await call(first)], ["bearer", "profile", 200]);
const second = await refreshed(first);
assert.notEqual(second.refresh_token, first.refresh_token);
assert.equal(await call(second), 200);

// What the customer's token gives to the client (RFC 8693).
const kind = (name) => `urn:ietf:params:oauth:token-type:${name}`;
const asked = await oauth.genericTokenEndpointRequest(
  server, client, basic, "urn:ietf:params:oauth:grant-type:token-exchange",
  { subject_token: second.access_token, subject_token_type: kind("access_token") },
);
const exchanged = await oauth.processGenericTokenEndpointResponse(server, client, asked);
assert.equal(exchanged.issued_token_type, kind("access_token"));
assert.equal(await call(exchanged), 200);

// Each refresh token is good once, and each code: its return ends the login.
await isRefused(refreshed(first), "invalid_grant");
assert.deepEqual([await call(second), await call(exchanged)], [401, 401]);
await isRefused(redeem(), "invalid_grant");
console.log("ok");
