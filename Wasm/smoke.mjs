// Shows that the browser module works: a replica is made, records are merged into it over the protocol, and the Merkle
// roots are those of the golden vectors. usage: node Wasm/smoke.mjs topgun.wasm Tests/Vectors
import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [wasmPath, vectorsPath] = process.argv.slice(2);
const vectors = (name) => JSON.parse(readFileSync(join(vectorsPath, `${name}.json`), "utf8"));

// MARK: MessagePack, as much of it as is needed

function encode(value) {
    const out = [];
    const head = (short, limit, wide, count) =>
        count < limit ? out.push(short | count) : out.push(wide, count >>> 24, (count >>> 16) & 255, (count >>> 8) & 255, count & 255);
    const write = (item) => {
        if (item === null || item === undefined) out.push(0xc0);
        else if (typeof item === "boolean") out.push(item ? 0xc3 : 0xc2);
        else if (typeof item === "number") {
            if (Number.isInteger(item) && item >= 0 && item < 128) return out.push(item);
            out.push(0xcb, ...new Uint8Array(new Float64Array([item]).buffer).reverse());
        } else if (typeof item === "string") {
            const bytes = new TextEncoder().encode(item);
            head(0xa0, 32, 0xdb, bytes.length);
            out.push(...bytes);
        } else if (Array.isArray(item)) {
            head(0x90, 16, 0xdd, item.length);
            item.forEach(write);
        } else {
            const entries = Object.entries(item);
            head(0x80, 16, 0xdf, entries.length);
            for (const [name, member] of entries) { write(name); write(member); }
        }
    };
    write(value);
    return new Uint8Array(out);
}

function decode(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    const number = (width, read) => { const found = read.call(view, at); at += width; return Number(found); };
    const take = (count) => { at += count; return bytes.slice(at - count, at); };
    const text = (count) => new TextDecoder().decode(take(count));
    const list = (count) => Array.from({ length: count }, read);
    const map = (count) => Object.fromEntries(Array.from({ length: count }, () => [read(), read()]));
    const u8 = () => number(1, view.getUint8), u16 = () => number(2, view.getUint16), u32 = () => number(4, view.getUint32);
    function read() {
        const head = bytes[at++];
        if (head < 0x80) return head;
        if (head < 0x90) return map(head & 15);
        if (head < 0xa0) return list(head & 15);
        if (head < 0xc0) return text(head & 31);
        if (head >= 0xe0) return head - 256;
        switch (head) {
            case 0xc0: return null;
            case 0xc2: return false;
            case 0xc3: return true;
            case 0xc4: return take(u8());
            case 0xc5: return take(u16());
            case 0xc6: return take(u32());
            case 0xcb: return number(8, view.getFloat64);
            case 0xcc: return u8();
            case 0xcd: return u16();
            case 0xce: return u32();
            case 0xcf: return number(8, view.getBigUint64);
            case 0xd3: return number(8, view.getBigInt64);
            case 0xd9: return text(u8());
            case 0xda: return text(u16());
            case 0xdb: return text(u32());
            case 0xdc: return list(u16());
            case 0xdd: return list(u32());
            case 0xde: return map(u16());
            case 0xdf: return map(u32());
            default: throw new Error(`unexpected MessagePack byte ${head}`);
        }
    }
    const value = read();
    assert.equal(at, bytes.length, "bytes are left over");
    return value;
}

// MARK: A thin shell

const module = await WebAssembly.instantiate(readFileSync(wasmPath), {
    env: { random: (address, size) => randomFillSync(new Uint8Array(core.memory.buffer, address, size)) },
});
const core = module.instance.exports;

function pass(bytes, use) {
    const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    const address = core.topgun_allocate(data.length);
    new Uint8Array(core.memory.buffer, address, data.length).set(data);
    try { return use(address, data.length); } finally { core.topgun_free(address); }
}

class Replica {
    wall = 1_700_000_000_000;
    steady = 0;
    sequence = 0;
    operations = 0;
    sent = [];
    stored = new Map();
    transactions = 0;

    constructor(node = "11111111-1111-4111-8111-111111111111") {
        this.handle = pass(node, (node, nodeBytes) =>
            pass(randomFillSync(new Uint8Array(16)), (seed, seedBytes) => core.topgun_create(node, nodeBytes, seed, seedBytes)));
        assert.ok(this.handle >= 0);
        assert.equal(core.topgun_start(this.handle, 0, 0, this.wall, this.steady), 0);
        this.effects();
    }

    // Carries out what is to be done: loads of an empty store, commits into a map.
    effects() {
        for (;;) {
            const address = core.topgun_take_effects(this.handle, this.wall, this.steady);
            const size = core.topgun_answer_bytes(this.handle);
            const effects = decode(new Uint8Array(core.memory.buffer, address, size).slice());
            this.sent.push(...effects.frames.map(decode));
            if (effects.state !== undefined) this.state = effects.state;
            for (const map of effects.loads) core.topgun_loaded(this.handle, map, this.wall, this.steady);
            if (effects.transaction) {
                const { entries, operations } = effects.transaction;
                for (const [map, key, , record] of entries) this.stored.set(`${map}/${key}`, record);
                const first = this.operations + 1;
                this.operations += operations.length;
                this.transactions += 1;
                core.topgun_committed(this.handle, first, ++this.sequence, this.wall, this.steady);
            } else if (effects.loads.length === 0) return;
        }
    }

    open(name) {
        const map = pass(name, (name, bytes) => core.topgun_open(this.handle, name, bytes, this.wall, this.steady));
        assert.ok(map >= 0);
        this.effects();
        return map;
    }

    connect() {
        core.topgun_connected(this.handle, this.wall, this.steady);
        this.effects();
        this.receive({
            type: "DEVICE_ACK", protocolVersion: 3, features: ["results", "levels", "clock"], clusterId: "c", serverId: "srv-1",
            restoreEpoch: 1, serverTime: this.wall, lastSeenOpId: "0",
        });
    }

    receive(message) {
        pass(encode(message), (frame, bytes) => core.topgun_received(this.handle, frame, bytes, this.wall, this.steady));
        this.effects();
    }

    set(map, key, value) {
        const write = pass(key, (key, keyBytes) => pass(encode(value), (value, valueBytes) =>
            core.topgun_set(this.handle, map, key, keyBytes, value, valueBytes, 0, this.wall, this.steady)));
        assert.ok(write > 0);
        this.effects();
    }

    get(map, key) {
        const address = pass(key, (key, bytes) => core.topgun_get(this.handle, map, key, bytes, this.wall));
        if (address === 0) return undefined;
        return decode(new Uint8Array(core.memory.buffer, address, core.topgun_answer_bytes(this.handle)).slice());
    }

    root(map) { return core.topgun_root(this.handle, map) >>> 0; }
    merge(mapName, records) { this.receive({ type: "SYNC_RESP_LEAF", payload: { mapName, path: "", records } }); }
    destroy() { core.topgun_destroy(this.handle); }
}

const keyed = ({ key, value, timestamp }) => ({ key, record: { value: value ?? null, timestamp } });

// MARK: The golden roots

const merkle = vectors("merkle-lww");
for (const set of merkle.sets) {
    const replica = new Replica();
    const map = replica.open("todos");
    replica.connect();
    replica.merge("todos", set.records.map(keyed));
    assert.equal(replica.root(map), set.rootHash, set.name);
    // Again, and in another order: a merge changes nothing that stands.
    replica.merge("todos", set.records.toReversed().map(keyed));
    assert.equal(replica.root(map), set.rootHash, set.name);
    replica.destroy();
}

const { N1, N2, rootHash } = merkle.largeSet;
const many = Array.from({ length: 500 }, (_, i) => ({
    key: `k${i}`, value: i, timestamp: { millis: 1_700_000_000_000 + i, counter: i % 7, nodeId: i % 2 ? N1 : N2 },
}));
const large = new Replica();
const largeMap = large.open("todos");
large.connect();
for (let start = 0; start < many.length; start += 50) large.merge("todos", many.slice(start, start + 50).map(keyed));
assert.equal(large.root(largeMap), rootHash, "largeSet");
assert.equal(large.get(largeMap, "k42"), 42);
assert.equal(large.stored.size, 500, "what was merged is handed to the store");
large.destroy();

// MARK: A write, from the application to its acknowledgement

const replica = new Replica();
const map = replica.open("todos");
replica.set(map, "é", { done: false });
assert.deepEqual(replica.get(map, "é"), { done: false });
assert.equal(replica.get(map, "e\u0301"), undefined, "keys are bytes");
replica.connect();
const batch = replica.sent.find((message) => message.type === "OP_BATCH");
assert.equal(batch.payload.ops[0].key, "é");
assert.equal(batch.payload.ops[0].id, "1");
assert.deepEqual(batch.payload.ops[0].record.value, { done: false });
const init = replica.sent.find((message) => message.type === "SYNC_INIT");
assert.equal(init.mapName, "todos");
const before = replica.transactions;
replica.receive({
    type: "OP_ACK", payload: { lastId: "1", results: [{ opId: "1", success: true, achievedLevel: "REPLICATED" }] },
});
assert.equal(replica.transactions, before + 1, "the operation leaves the log");

// MARK: A hundred thousand records, and frames of nonsense

const crowd = new Replica();
const crowdMap = crowd.open("crowd");
crowd.connect();
const started = performance.now();
for (let start = 0; start < 100_000; start += 1000) {
    crowd.merge("crowd", Array.from({ length: 1000 }, (_, i) =>
        keyed({ key: `key-${start + i}`, value: "x".repeat(100), timestamp: { millis: 1_700_000_000_000 + i, counter: 0, nodeId: "srv-1" } })));
}
const seconds = (performance.now() - started) / 1000;
assert.equal(crowd.stored.size, 100_000);
for (let round = 0; round < 2000; round += 1) {
    const noise = randomFillSync(new Uint8Array(1 + (round % 200)));
    pass(noise, (frame, bytes) => core.topgun_received(crowd.handle, frame, bytes, crowd.wall, crowd.steady));
    crowd.effects();
}
assert.equal(crowd.get(crowdMap, "key-99999").length, 100);

const megabytes = (core.memory.buffer.byteLength / (1 << 20)).toFixed(0);
console.log(`browser module: ${merkle.sets.length + 1} golden roots found, a write acknowledged, `
    + `100,000 records merged in ${seconds.toFixed(2)} s (test shell included), ${megabytes} MB of memory`);
