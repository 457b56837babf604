'use strict';

const express = require('express');
const { createSseMiddleware } = require('sse-duplex');
const { SseClient } = require('sse-duplex/client');
const roundTrip = require('./round-trip.cjs');

void roundTrip(express, createSseMiddleware, SseClient);
